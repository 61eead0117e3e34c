-- What is said about what was said: a change has the event it changes as its target, and is shown with that. Sealed
-- column: detail (what an event has beside its text).
ALTER TABLE history ADD COLUMN kind TEXT NOT NULL DEFAULT 'text';
ALTER TABLE history ADD COLUMN target BYTEA;
ALTER TABLE history ADD COLUMN reply BYTEA;
ALTER TABLE history ADD COLUMN thread BYTEA;
ALTER TABLE history ADD COLUMN detail BYTEA;
ALTER TABLE history ADD COLUMN deleted_at BIGINT;
CREATE INDEX history_of_target ON history (node_id, peer_id, target, position) WHERE target IS NOT NULL;
