-- Small files that go in envelopes (docs/protocol/files.md, "Slices"). An envelope of the outbox that holds a slice says
-- of which file; "slices" counts those of an outgoing file that were put there, or those of an incoming one in
-- file_slices, whose "data" the sender has sealed.
ALTER TABLE outbox ADD COLUMN file_id BYTEA;
CREATE INDEX outbox_of_file ON outbox (node_id, peer_id, file_id) WHERE file_id IS NOT NULL;

ALTER TABLE transfers ADD COLUMN slices BIGINT NOT NULL DEFAULT 0;

CREATE TABLE file_slices (
    part_id BYTEA NOT NULL REFERENCES transfers (part_id) ON DELETE CASCADE,
    number  BIGINT NOT NULL,
    data    BYTEA NOT NULL,
    PRIMARY KEY (part_id, number)
);
