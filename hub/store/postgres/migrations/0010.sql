-- What is needed to understand a dead letter and to tell it again. What stood as its kind was, of a signal and of the
-- stream's own, the type.
ALTER TABLE dead_letter
    ADD COLUMN type text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN gone boolean NOT NULL DEFAULT false,
    ADD COLUMN names text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN given bigint NOT NULL DEFAULT 0,
    ADD COLUMN signal bigint NOT NULL DEFAULT 0,
    ADD COLUMN attempts bigint NOT NULL DEFAULT 0,
    ADD COLUMN jti text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN description bytea, -- sealed
    ADD COLUMN expires bigint NOT NULL DEFAULT 0;
DELETE FROM dead_letter WHERE stream NOT IN (SELECT id FROM stream);
UPDATE dead_letter SET expires = time + 2592000000000;
UPDATE dead_letter SET type = kind, kind = '' WHERE kind LIKE '%:%' OR entry IS NULL;
CREATE INDEX dead_letter_stream ON dead_letter (stream, time);
CREATE INDEX dead_letter_time ON dead_letter (time);
CREATE INDEX dead_letter_expires ON dead_letter (expires);
CREATE INDEX dead_letter_signal ON dead_letter (signal) WHERE signal <> 0;
CREATE INDEX dead_letter_described ON dead_letter (entry) WHERE description IS NOT NULL;
