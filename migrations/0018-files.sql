-- Files offered to friends and by them (chattor_bridge/node/records.py, Transfer). "came" counts the chunks in "bitmap",
-- which are on disk under the name "part_id".
-- Sealed columns: content_key, root, name, mime, reference, outline.
CREATE TABLE transfers (
    position    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- only: postgres
    position    INTEGER PRIMARY KEY AUTOINCREMENT,               -- only: sqlite
    node_id     BYTEA NOT NULL,
    peer_id     BYTEA NOT NULL,
    file_id     BYTEA NOT NULL,
    event_id    BYTEA NOT NULL,
    part_id     BYTEA NOT NULL UNIQUE,
    outgoing    BOOLEAN NOT NULL,
    state       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    content_key BYTEA NOT NULL,
    size        BIGINT NOT NULL,
    root        BYTEA NOT NULL,
    name        BYTEA NOT NULL,
    mime        BYTEA NOT NULL,
    kind        TEXT NOT NULL,
    reference   BYTEA NOT NULL,
    outline     BYTEA NOT NULL,
    bitmap      BYTEA NOT NULL,
    came        BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    changed_at  BIGINT NOT NULL,
    UNIQUE (node_id, peer_id, file_id),
    FOREIGN KEY (node_id, peer_id) REFERENCES contacts (node_id, peer_id) ON DELETE CASCADE
);
