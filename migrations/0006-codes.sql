-- What a friend code may be used for: until when, how often, and whether its door is open at all. A door with a secret
-- (sealed) is that of a one-time code, and what was left there is not pushed out by others.
ALTER TABLE doors ADD COLUMN secret BYTEA;
ALTER TABLE doors ADD COLUMN expires_at BIGINT;
ALTER TABLE doors ADD COLUMN max_uses BIGINT;
ALTER TABLE doors ADD COLUMN uses BIGINT NOT NULL DEFAULT 0;
ALTER TABLE doors ADD COLUMN parked BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE pending_knocks ADD COLUMN exempt BOOLEAN NOT NULL DEFAULT FALSE;
