-- Whom their owner wants to hear no more of. A blocked friend keeps its row, so that it can be unblocked; a blocked
-- request keeps it until it would have expired, so that it does not come again.
ALTER TABLE contacts ADD COLUMN blocked BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE pending_knocks ADD COLUMN blocked BOOLEAN NOT NULL DEFAULT FALSE;
