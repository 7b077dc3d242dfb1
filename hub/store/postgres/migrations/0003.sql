-- Credentials have scopes, an end, and a last use. Those that are there may what their role may.
ALTER TABLE token ADD COLUMN scopes text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE token ADD COLUMN expires bigint NOT NULL DEFAULT 0;
ALTER TABLE token ADD COLUMN used bigint NOT NULL DEFAULT 0;
UPDATE token SET scopes = CASE role
    WHEN 'party' THEN 'ssf.read ssf.manage changes.read subjects.read live.ticket'
    WHEN 'directory' THEN 'scim.write'
    ELSE 'operator' END;
