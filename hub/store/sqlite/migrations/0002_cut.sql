-- How many of a delivery's tokens have left, where a poll took fewer than there are; 0 for all.
ALTER TABLE delivery ADD COLUMN cut INTEGER NOT NULL DEFAULT 0;
