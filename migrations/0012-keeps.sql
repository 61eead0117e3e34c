-- A friend may take over to host for both: which side keeps its onion whatever happens. So far it was who had knocked.
ALTER TABLE contacts ADD COLUMN keeps BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE contacts SET keeps = TRUE WHERE role = 'knocker';
