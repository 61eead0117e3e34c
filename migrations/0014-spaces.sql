-- The space that groups an owner's conversations: room_id is NULL while there is none, and unwanted says that the owner
-- has left it.
CREATE TABLE spaces (
    owner    TEXT PRIMARY KEY,
    room_id  TEXT UNIQUE,
    unwanted BOOLEAN NOT NULL
);
