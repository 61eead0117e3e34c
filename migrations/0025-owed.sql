-- Whoever collects owes its sender an acknowledgement: how many fell due at this place since one was left there, or went
-- to the friend in another way.
ALTER TABLE deposit_targets ADD COLUMN owed BIGINT NOT NULL DEFAULT 0;
