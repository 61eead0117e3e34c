-- How many blocks of friends' mail a node holds at most, as its owner wants.
ALTER TABLE nodes ADD COLUMN holds BIGINT;
