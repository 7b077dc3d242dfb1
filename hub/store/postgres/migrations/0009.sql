-- What the person said of account and session events: '' (opted in), 'opt-out-initiated', 'opt-out'.
ALTER TABLE grants ADD COLUMN opt text COLLATE "C" NOT NULL DEFAULT '';
