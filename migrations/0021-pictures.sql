-- Small pictures of people: what friends see of a node's owner, and what each friend shows of itself. Sealed column: data.
CREATE TABLE own_pictures (
    node_id   BYTEA PRIMARY KEY REFERENCES nodes (node_id) ON DELETE CASCADE,
    mime_type TEXT NOT NULL,
    data      BYTEA NOT NULL
);

CREATE TABLE pictures (
    node_id   BYTEA NOT NULL,
    peer_id   BYTEA NOT NULL,
    mime_type TEXT NOT NULL,
    data      BYTEA NOT NULL,
    PRIMARY KEY (node_id, peer_id),
    FOREIGN KEY (node_id, peer_id) REFERENCES contacts (node_id, peer_id) ON DELETE CASCADE
);
