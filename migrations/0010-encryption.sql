-- What our Matrix users need for encrypted rooms (chattor_bridge/matrix/encryption/keystore.py): Olm accounts and sessions,
-- Megolm sessions, what is known of other people's devices. "account" is one of our users, or empty for what they share.
CREATE TABLE room_keys (
    account TEXT NOT NULL,
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   BYTEA NOT NULL, -- sealed
    PRIMARY KEY (account, kind, name)
);
