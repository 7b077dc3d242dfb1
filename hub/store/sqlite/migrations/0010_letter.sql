-- What is needed to understand a dead letter and to tell it again. What stood as its kind was, of a signal and of the
-- stream's own, the type.
ALTER TABLE dead_letter ADD COLUMN type TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letter ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letter ADD COLUMN names TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letter ADD COLUMN given INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letter ADD COLUMN signal INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letter ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letter ADD COLUMN jti TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letter ADD COLUMN description BLOB; -- sealed
ALTER TABLE dead_letter ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;
DELETE FROM dead_letter WHERE stream NOT IN (SELECT id FROM stream);
UPDATE dead_letter SET expires = time + 2592000000000;
UPDATE dead_letter SET type = kind, kind = '' WHERE kind LIKE '%:%' OR entry IS NULL;
DROP INDEX dead_letter_stream;
CREATE INDEX dead_letter_stream ON dead_letter (stream, time);
CREATE INDEX dead_letter_time ON dead_letter (time);
CREATE INDEX dead_letter_expires ON dead_letter (expires);
CREATE INDEX dead_letter_signal ON dead_letter (signal) WHERE signal <> 0;
CREATE INDEX dead_letter_described ON dead_letter (entry) WHERE description IS NOT NULL;
