-- A friend for whom too much waits is told our owner's profile when there is room again, as it is then.
ALTER TABLE contacts ADD COLUMN profile_due BOOLEAN NOT NULL DEFAULT FALSE;
