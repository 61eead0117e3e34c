-- When the door behind a friend code closes because it was used up or rotated, whatever bounds its owner gave it. Until
-- now that took the place of "expires_at", and of a code made by rotating it too.
ALTER TABLE doors ADD COLUMN closes_at BIGINT;
