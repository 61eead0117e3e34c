-- What a linked event is (its type in the protocol), which event it changes, and of a poll what its answers are called
-- in Matrix. Sealed column: detail.
ALTER TABLE event_links ADD COLUMN kind TEXT NOT NULL DEFAULT 'text';
ALTER TABLE event_links ADD COLUMN target BYTEA;
ALTER TABLE event_links ADD COLUMN detail BYTEA;
CREATE INDEX event_links_of_target ON event_links (node_id, peer_id, target) WHERE target IS NOT NULL;
