-- By what persons may be named besides ids: hashes (hub.Identifiers).
CREATE TABLE identifier (
    key bytea,
    entry bytea,
    PRIMARY KEY (key, entry)
);
CREATE INDEX identifier_entry ON identifier (entry);
