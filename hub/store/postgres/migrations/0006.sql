-- Until when the feed of a stream is not issued: its next digest is not due before.
ALTER TABLE stream ADD COLUMN quiet bigint NOT NULL DEFAULT 0;
