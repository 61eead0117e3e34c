-- What was said, for the program that has no homeserver to show it (chattor_bridge/terminal/ports.py).
-- Sealed columns: text, failure.

CREATE TABLE history (
    position     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- only: postgres
    position     INTEGER PRIMARY KEY AUTOINCREMENT,               -- only: sqlite
    node_id      BYTEA NOT NULL,
    peer_id      BYTEA NOT NULL,
    event_id     BYTEA NOT NULL,
    direction    TEXT NOT NULL,
    text         BYTEA NOT NULL,
    sent_at      BIGINT NOT NULL,
    stored_at    BIGINT NOT NULL,
    delivered_at BIGINT,
    read_at      BIGINT,
    failure      BYTEA, -- NULL unless it will not arrive
    UNIQUE (node_id, peer_id, event_id)
);
CREATE INDEX history_of_peer ON history (node_id, peer_id, position);
CREATE INDEX history_of_node ON history (node_id, position);
CREATE INDEX history_unread ON history (node_id, peer_id, position) WHERE read_at IS NULL AND direction = 'in';
CREATE INDEX history_by_age ON history (stored_at);
