-- Friends who hold mail for each other (chattor_bridge/node/carrying/records.py). Blocks are sealed by whoever left them.
-- Sealed columns: own_shelves.capability, onion, static_key; held_shelves.capability, onion_seed, static_key;
-- deposit_targets.onion, static_key, capability.

-- Whoever is carried for: its carriers, its shelves there, and what its senders know.
CREATE TABLE carriers (
    node_id BYTEA NOT NULL,
    peer_id BYTEA NOT NULL,
    asked   BOOLEAN NOT NULL,
    shelves BIGINT NOT NULL,
    blocks  BIGINT NOT NULL,
    used    BOOLEAN NOT NULL,
    PRIMARY KEY (node_id, peer_id),
    FOREIGN KEY (node_id, peer_id) REFERENCES contacts (node_id, peer_id) ON DELETE CASCADE
);

CREATE TABLE own_shelves (
    position      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- only: postgres
    position      INTEGER PRIMARY KEY AUTOINCREMENT,               -- only: sqlite
    node_id       BYTEA NOT NULL,
    shelf_id      BYTEA NOT NULL,
    carrier_id    BYTEA NOT NULL,
    capability    BYTEA NOT NULL,
    onion         BYTEA,
    static_key    BYTEA,
    opened_at     BIGINT NOT NULL,
    superseded_at BIGINT,
    closed        BOOLEAN NOT NULL,
    UNIQUE (node_id, shelf_id),
    FOREIGN KEY (node_id, carrier_id) REFERENCES contacts (node_id, peer_id) ON DELETE CASCADE
);

CREATE TABLE shelf_senders (
    node_id  BYTEA NOT NULL,
    shelf_id BYTEA NOT NULL,
    peer_id  BYTEA NOT NULL,
    PRIMARY KEY (node_id, shelf_id, peer_id),
    FOREIGN KEY (node_id, shelf_id) REFERENCES own_shelves (node_id, shelf_id) ON DELETE CASCADE,
    FOREIGN KEY (node_id, peer_id) REFERENCES contacts (node_id, peer_id) ON DELETE CASCADE
);

CREATE TABLE told_shelves (
    node_id BYTEA NOT NULL,
    peer_id BYTEA NOT NULL,
    digest  BYTEA NOT NULL,
    PRIMARY KEY (node_id, peer_id),
    FOREIGN KEY (node_id, peer_id) REFERENCES contacts (node_id, peer_id) ON DELETE CASCADE
);

-- The carrier: for whom it carries, the shelves, and what is on them.
CREATE TABLE carriages (
    node_id  BYTEA NOT NULL,
    peer_id  BYTEA NOT NULL,
    shelves  BIGINT NOT NULL,
    blocks   BIGINT NOT NULL,
    offered  BOOLEAN NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (node_id, peer_id),
    FOREIGN KEY (node_id, peer_id) REFERENCES contacts (node_id, peer_id) ON DELETE CASCADE
);

CREATE TABLE held_shelves (
    position    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- only: postgres
    position    INTEGER PRIMARY KEY AUTOINCREMENT,               -- only: sqlite
    node_id     BYTEA NOT NULL,
    peer_id     BYTEA NOT NULL,
    shelf_id    BYTEA NOT NULL,
    capability  BYTEA NOT NULL,
    onion_seed  BYTEA NOT NULL,
    static_key  BYTEA NOT NULL,
    opened_at   BIGINT NOT NULL,
    closed_at   BIGINT,
    answered    BOOLEAN NOT NULL,
    last_number BIGINT NOT NULL,
    UNIQUE (node_id, peer_id, shelf_id),
    FOREIGN KEY (node_id, peer_id) REFERENCES carriages (node_id, peer_id) ON DELETE CASCADE
);

CREATE TABLE held_blocks (
    node_id  BYTEA NOT NULL,
    peer_id  BYTEA NOT NULL,
    shelf_id BYTEA NOT NULL,
    number   BIGINT NOT NULL,
    block    BYTEA NOT NULL,
    kept_at  BIGINT NOT NULL,
    PRIMARY KEY (node_id, peer_id, shelf_id, number),
    FOREIGN KEY (node_id, peer_id, shelf_id) REFERENCES held_shelves (node_id, peer_id, shelf_id) ON DELETE CASCADE
);

-- A sender: where what waits in the outbox can be left, and what was. "acknowledged" is the highest number of what was
-- left there and has arrived.
CREATE TABLE deposit_targets (
    node_id      BYTEA NOT NULL,
    peer_id      BYTEA NOT NULL,
    target_id    BYTEA NOT NULL,
    onion        BYTEA NOT NULL,
    static_key   BYTEA NOT NULL,
    capability   BYTEA NOT NULL,
    last_number  BIGINT NOT NULL,
    acknowledged BIGINT NOT NULL,
    PRIMARY KEY (node_id, peer_id, target_id),
    FOREIGN KEY (node_id, peer_id) REFERENCES contacts (node_id, peer_id) ON DELETE CASCADE
);

CREATE TABLE deposited (
    node_id   BYTEA NOT NULL,
    peer_id   BYTEA NOT NULL,
    target_id BYTEA NOT NULL,
    seq       BIGINT NOT NULL,
    number    BIGINT NOT NULL,
    left_at   BIGINT NOT NULL,
    PRIMARY KEY (node_id, peer_id, target_id, seq),
    FOREIGN KEY (node_id, peer_id, seq) REFERENCES outbox (node_id, peer_id, seq) ON DELETE CASCADE,
    FOREIGN KEY (node_id, peer_id, target_id) REFERENCES deposit_targets (node_id, peer_id, target_id)
        ON DELETE CASCADE
);
CREATE INDEX deposited_of_entry ON deposited (node_id, peer_id, seq);
