-- What the operator lets a party's streams ask for, and what its users' tokens hold.
ALTER TABLE party ADD COLUMN events TEXT NOT NULL DEFAULT 'null';
ALTER TABLE party ADD COLUMN claims TEXT NOT NULL DEFAULT 'null';
