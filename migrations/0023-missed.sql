-- Messages that have come, in the catching up that is under way, and were said while there was no link.
CREATE TABLE missed (
    node_id  BYTEA NOT NULL,
    peer_id  BYTEA NOT NULL,
    messages BIGINT NOT NULL,
    PRIMARY KEY (node_id, peer_id),
    FOREIGN KEY (node_id, peer_id) REFERENCES contacts (node_id, peer_id) ON DELETE CASCADE
);
