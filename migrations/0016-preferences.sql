-- What our owner wants with one friend (chattor_bridge/node/preferences.py); without a row it is as with every friend.
-- "shares" is a list of words: what is shown of the person. Sealed column: note.
CREATE TABLE preferences (
    node_id BYTEA NOT NULL,
    peer_id BYTEA NOT NULL,
    shares  TEXT NOT NULL,
    muted   BOOLEAN NOT NULL,
    note    BYTEA NOT NULL,
    PRIMARY KEY (node_id, peer_id),
    FOREIGN KEY (node_id, peer_id) REFERENCES contacts (node_id, peer_id) ON DELETE CASCADE
);
ALTER TABLE nodes ADD COLUMN shares TEXT NOT NULL DEFAULT '["receipts"]';
