-- Subjects that receivers took off their streams. back: added again, still to be told.
CREATE TABLE exclusion (
  stream BLOB    NOT NULL,
  entry  BLOB    NOT NULL,
  back   INTEGER NOT NULL,
  PRIMARY KEY (stream, entry)
) WITHOUT ROWID;
CREATE INDEX exclusion_entry ON exclusion (entry);
CREATE INDEX exclusion_back ON exclusion (stream, entry) WHERE back <> 0;
