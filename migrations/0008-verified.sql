-- Whether the owner has compared something with the friend: "verified" is the safety number that was found to be the
-- same, "verification" the run of the emoji under way; both sealed.
ALTER TABLE contacts ADD COLUMN verified BYTEA;
ALTER TABLE contacts ADD COLUMN mismatch BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE contacts ADD COLUMN verification BYTEA;
