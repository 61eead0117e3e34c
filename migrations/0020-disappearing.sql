-- What is said with one friend disappears after so many seconds ("timer", 0 for never), as the two agreed in "timer_round"
-- (docs/protocol/events.md, "timer"). "expiring" holds what will; due_at is NULL until it was read.
ALTER TABLE preferences ADD COLUMN timer BIGINT NOT NULL DEFAULT 0;
ALTER TABLE preferences ADD COLUMN timer_round BIGINT NOT NULL DEFAULT 0;

CREATE TABLE expiring (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- only: postgres
    position INTEGER PRIMARY KEY AUTOINCREMENT,               -- only: sqlite
    node_id  BYTEA NOT NULL REFERENCES nodes (node_id) ON DELETE CASCADE,
    peer_id  BYTEA NOT NULL, -- perhaps of a friend forgotten since
    event_id BYTEA NOT NULL,
    seconds  BIGINT NOT NULL,
    due_at   BIGINT,
    UNIQUE (node_id, peer_id, event_id)
);
CREATE INDEX expiring_of_friend ON expiring (node_id, peer_id, position);
CREATE INDEX expiring_due ON expiring (node_id, due_at) WHERE due_at IS NOT NULL;
