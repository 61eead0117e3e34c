-- Everything the bridge keeps (chattor_bridge/bridge/records.py). "position" is the order in which rows came.
-- Sealed columns: inbox.event, parked; actions.action, parked.

-- Matrix event ids the homeserver has given us, kept after their items are done.
CREATE TABLE known_matrix_events (
    event_id   TEXT PRIMARY KEY,
    first_seen BIGINT NOT NULL
);
CREATE INDEX known_matrix_events_by_age ON known_matrix_events (first_seen);

CREATE TABLE inbox (
    position    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- only: postgres
    position    INTEGER PRIMARY KEY AUTOINCREMENT,               -- only: sqlite
    event_id    TEXT NOT NULL UNIQUE,
    room_id     TEXT NOT NULL,
    event       BYTEA NOT NULL,
    received_at BIGINT NOT NULL,
    parked      BYTEA -- the reason, NULL while the item waits
);
CREATE INDEX inbox_waiting ON inbox (room_id, position) WHERE parked IS NULL;

CREATE TABLE actions (
    position   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- only: postgres
    position   INTEGER PRIMARY KEY AUTOINCREMENT,               -- only: sqlite
    action_id  BYTEA NOT NULL UNIQUE, -- random; known before the row is there, so the action can be sealed for it
    lane       TEXT NOT NULL,
    action     BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    attempts   BIGINT NOT NULL,
    parked     BYTEA -- the reason, NULL while the action waits
);
CREATE INDEX actions_waiting ON actions (lane, position) WHERE parked IS NULL;

CREATE TABLE portals (
    position   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- only: postgres
    position   INTEGER PRIMARY KEY AUTOINCREMENT,               -- only: sqlite
    node_id    BYTEA NOT NULL,
    peer_id    BYTEA NOT NULL,
    owner      TEXT NOT NULL,
    ghost      TEXT NOT NULL,
    room_id    TEXT UNIQUE,
    created_at BIGINT NOT NULL,
    UNIQUE (node_id, peer_id)
);
CREATE INDEX portals_of_owner ON portals (owner, position);

CREATE TABLE management_rooms (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- only: postgres
    position INTEGER PRIMARY KEY AUTOINCREMENT,               -- only: sqlite
    room_id  TEXT NOT NULL UNIQUE,
    owner    TEXT NOT NULL,
    saved_at BIGINT NOT NULL
);
CREATE INDEX management_rooms_of_owner ON management_rooms (owner, saved_at);

CREATE TABLE event_links (
    node_id         BYTEA NOT NULL,
    peer_id         BYTEA NOT NULL,
    event_id        BYTEA NOT NULL,
    part            BIGINT NOT NULL,
    room_id         TEXT NOT NULL,
    matrix_event_id TEXT NOT NULL,
    ours            BOOLEAN NOT NULL,
    PRIMARY KEY (node_id, peer_id, event_id, part, matrix_event_id)
);
CREATE INDEX event_links_by_matrix_event ON event_links (matrix_event_id);

-- What a portal shows and its owner has not read. event_id is NULL for what no friend said.
CREATE TABLE unread (
    position        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- only: postgres
    position        INTEGER PRIMARY KEY AUTOINCREMENT,               -- only: sqlite
    room_id         TEXT NOT NULL,
    matrix_event_id TEXT NOT NULL UNIQUE,
    event_id        BYTEA
);
CREATE INDEX unread_in_room ON unread (room_id, position);

CREATE TABLE knock_notices (
    knock_id        BYTEA PRIMARY KEY,
    room_id         TEXT NOT NULL,
    matrix_event_id TEXT NOT NULL
);
CREATE INDEX knock_notices_by_matrix_event ON knock_notices (matrix_event_id);
