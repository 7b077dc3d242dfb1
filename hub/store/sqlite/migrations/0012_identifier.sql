-- By what persons may be named besides ids: hashes (hub.Identifiers).
CREATE TABLE identifier (
  key   BLOB NOT NULL,
  entry BLOB NOT NULL,
  PRIMARY KEY (key, entry)
) WITHOUT ROWID;
CREATE INDEX identifier_entry ON identifier (entry);
