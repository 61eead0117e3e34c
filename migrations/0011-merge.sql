-- Two friendships with one person become one: which other one our owner and the friend say it is, and whether the friend
-- has given up its half. And friendships ended because keys are in other hands. A portal whose conversation goes on in
-- another says in which.
ALTER TABLE contacts ADD COLUMN merging BYTEA;
ALTER TABLE contacts ADD COLUMN merge_claim BYTEA;
ALTER TABLE contacts ADD COLUMN merge_done BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE contacts ADD COLUMN retired TEXT;
ALTER TABLE contacts ADD COLUMN retired_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE portals ADD COLUMN merged_into BYTEA;
