-- Whoever answers this request of ours is asked to hold our mail at once: it is a mailbox of our owner's.
ALTER TABLE outgoing_knocks ADD COLUMN pairs BOOLEAN NOT NULL DEFAULT FALSE;
