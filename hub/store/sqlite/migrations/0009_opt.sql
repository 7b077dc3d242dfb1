-- What the person said of account and session events: '' (opted in), 'opt-out-initiated', 'opt-out'.
ALTER TABLE grants ADD COLUMN opt TEXT NOT NULL DEFAULT '';
