-- What the store itself needs. BYTEA is PostgreSQL's word; SQLite takes any, and keeps blobs as blobs.

CREATE TABLE store (
    id        BIGINT PRIMARY KEY CHECK (id = 1),
    key_check BYTEA NOT NULL
);

-- Rises whenever a process takes the database over: a transaction of its predecessor no longer matches.
CREATE TABLE ownership (                           -- only: postgres
    id         BIGINT PRIMARY KEY CHECK (id = 1),  -- only: postgres
    generation BIGINT NOT NULL                     -- only: postgres
);                                                 -- only: postgres
INSERT INTO ownership (id, generation) VALUES (1, 0); -- only: postgres

-- Small sealed values under a name.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE TABLE secrets (
    name  TEXT PRIMARY KEY,
    value BYTEA NOT NULL
);
