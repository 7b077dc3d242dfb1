-- A credential may be a public key: a JWK Set that holds it alone.
ALTER TABLE token ADD COLUMN jwk bytea;
CREATE INDEX token_party ON token (party) WHERE party IS NOT NULL;
