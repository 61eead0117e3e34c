-- What the bot has said in a portal for a time: it is taken back when it is true no more, and some of it can be answered
-- (chattor_bridge/bridge/records.py).
CREATE TABLE portal_notices (
    matrix_event_id TEXT PRIMARY KEY,
    room_id         TEXT NOT NULL,
    topic           TEXT NOT NULL,
    subject         TEXT NOT NULL
);
CREATE INDEX portal_notices_in_room ON portal_notices (room_id, topic);
