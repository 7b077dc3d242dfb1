-- A credential may be a public key: a JWK Set that holds it alone.
ALTER TABLE token ADD COLUMN jwk BLOB;
