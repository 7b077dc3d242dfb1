-- Who set a stream's status, and since when every attempt on it failed.
ALTER TABLE stream ADD COLUMN set_by text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE stream ADD COLUMN failing bigint NOT NULL DEFAULT 0;
UPDATE stream SET set_by = 'receiver' WHERE status <> 'enabled';
-- What a stream that stands still may send is looked for with every lease.
CREATE INDEX delivery_own ON delivery (stream, due) WHERE entry IS NULL;
