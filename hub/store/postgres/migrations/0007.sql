-- Signing keys change: the one secret that can be replaced has a version, a token says which key signed it ('' before ids
-- were kept), and a delivery whether its receiver refused that key.
ALTER TABLE secret ADD COLUMN version bigint NOT NULL DEFAULT 1;
ALTER TABLE set_token ADD COLUMN kid text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE delivery ADD COLUMN refused boolean NOT NULL DEFAULT false;
