-- Onions hosted for friends change: since when this one is, the one before it while the friend may still dial that
-- (sealed), and when the friend was last heard, by which spare onions are shed.
ALTER TABLE contacts ADD COLUMN hosted_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN former_seed BYTEA;
ALTER TABLE contacts ADD COLUMN heard_at BIGINT NOT NULL DEFAULT 0;
