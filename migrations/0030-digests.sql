-- The digest of everything that was sealed before an envelope of the outbox (docs/protocol/session.md,
-- "Acknowledgement"). NULL: sealed when there were no digests yet.
ALTER TABLE outbox ADD COLUMN digest_before BYTEA;
