-- Everything a node keeps (chattor_bridge/node/records.py). "position" is the order in which rows came.
-- Sealed columns: nodes.profile_name; doors.label, onion_seed, identity_key; outgoing_knocks.code, note, static_key,
-- onion_seed, reason; knock_attempts.session; pending_knocks.peer_onion, name, note, session; contacts.own_static,
-- hosted_seed, peer_onion, session, peer_name, alias; outbox.event; held_events.event.

CREATE TABLE nodes (
    position     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- only: postgres
    position     INTEGER PRIMARY KEY AUTOINCREMENT,               -- only: sqlite
    node_id      BYTEA NOT NULL UNIQUE,
    owner        TEXT NOT NULL UNIQUE,
    profile_name BYTEA NOT NULL,
    running      BOOLEAN NOT NULL,
    created_at   BIGINT NOT NULL
);

CREATE TABLE doors (
    position     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- only: postgres
    position     INTEGER PRIMARY KEY AUTOINCREMENT,               -- only: sqlite
    door_id      BYTEA NOT NULL UNIQUE,
    node_id      BYTEA NOT NULL REFERENCES nodes (node_id) ON DELETE CASCADE,
    label        BYTEA NOT NULL,
    onion_seed   BYTEA, -- NULL once retired
    identity_key BYTEA, -- NULL once retired
    created_at   BIGINT NOT NULL,
    retired_at   BIGINT
);
CREATE INDEX doors_of_node ON doors (node_id, position);

CREATE TABLE outgoing_knocks (
    position        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- only: postgres
    position        INTEGER PRIMARY KEY AUTOINCREMENT,               -- only: sqlite
    knock_id        BYTEA NOT NULL UNIQUE,
    node_id         BYTEA NOT NULL REFERENCES nodes (node_id) ON DELETE CASCADE,
    code            BYTEA NOT NULL,
    note            BYTEA NOT NULL,
    static_key      BYTEA NOT NULL,
    onion_seed      BYTEA NOT NULL,
    state           TEXT NOT NULL,
    reason          BYTEA NOT NULL,
    attempts        BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    created_at      BIGINT NOT NULL
);
CREATE INDEX outgoing_knocks_of_node ON outgoing_knocks (node_id, position);

CREATE TABLE knock_attempts (
    position   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- only: postgres
    position   INTEGER PRIMARY KEY AUTOINCREMENT,               -- only: sqlite
    knock_id   BYTEA NOT NULL REFERENCES outgoing_knocks (knock_id) ON DELETE CASCADE,
    peer_id    BYTEA NOT NULL,
    session    BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (knock_id, peer_id)
);

CREATE TABLE pending_knocks (
    position     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- only: postgres
    position     INTEGER PRIMARY KEY AUTOINCREMENT,               -- only: sqlite
    knock_id     BYTEA NOT NULL UNIQUE,
    node_id      BYTEA NOT NULL REFERENCES nodes (node_id) ON DELETE CASCADE,
    door_id      BYTEA NOT NULL REFERENCES doors (door_id),
    peer_id      BYTEA NOT NULL,
    peer_static  BYTEA NOT NULL,
    peer_onion   BYTEA NOT NULL,
    name         BYTEA NOT NULL,
    note         BYTEA NOT NULL,
    capabilities TEXT NOT NULL,
    session      BYTEA NOT NULL,
    received_at  BIGINT NOT NULL,
    ignored      BOOLEAN NOT NULL,
    UNIQUE (node_id, peer_static)
);

CREATE TABLE contacts (
    position     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- only: postgres
    position     INTEGER PRIMARY KEY AUTOINCREMENT,               -- only: sqlite
    node_id      BYTEA NOT NULL REFERENCES nodes (node_id) ON DELETE CASCADE,
    peer_id      BYTEA NOT NULL,
    role         TEXT NOT NULL,
    own_static   BYTEA NOT NULL,
    peer_static  BYTEA NOT NULL,
    hosted_seed  BYTEA,
    peer_onion   BYTEA,
    session      BYTEA NOT NULL,
    peer_name    BYTEA NOT NULL,
    alias        BYTEA NOT NULL,
    version      BIGINT NOT NULL,
    capabilities TEXT NOT NULL,
    established  BOOLEAN NOT NULL,
    created_at   BIGINT NOT NULL,
    UNIQUE (node_id, peer_id),
    UNIQUE (node_id, peer_static)
);

CREATE TABLE outbox (
    node_id    BYTEA NOT NULL,
    peer_id    BYTEA NOT NULL,
    seq        BIGINT NOT NULL,
    event_id   BYTEA NOT NULL,
    envelope   BYTEA NOT NULL,
    event      BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (node_id, peer_id, seq),
    FOREIGN KEY (node_id, peer_id) REFERENCES contacts (node_id, peer_id) ON DELETE CASCADE
);

-- Every event id a friend has ever used, so that a re-sealed duplicate is noticed.
CREATE TABLE received_events (
    node_id     BYTEA NOT NULL,
    peer_id     BYTEA NOT NULL,
    event_id    BYTEA NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (node_id, peer_id, event_id),
    FOREIGN KEY (node_id, peer_id) REFERENCES contacts (node_id, peer_id) ON DELETE CASCADE
);

-- Events past a gap.
CREATE TABLE held_events (
    node_id     BYTEA NOT NULL,
    peer_id     BYTEA NOT NULL,
    seq         BIGINT NOT NULL,
    event       BYTEA NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (node_id, peer_id, seq),
    FOREIGN KEY (node_id, peer_id) REFERENCES contacts (node_id, peer_id) ON DELETE CASCADE
);
