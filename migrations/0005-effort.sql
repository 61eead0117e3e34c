-- Requests at our doors are ordered by the work they have cost, in bits; one that its owner has seen is not pushed out.
ALTER TABLE pending_knocks ADD COLUMN effort BIGINT NOT NULL DEFAULT 0;
ALTER TABLE pending_knocks ADD COLUMN seen BOOLEAN NOT NULL DEFAULT FALSE;
