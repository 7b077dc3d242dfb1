-- Subjects that receivers took off their streams. back: added again, still to be told.
CREATE TABLE exclusion (
    stream bytea,
    entry bytea,
    back boolean NOT NULL,
    PRIMARY KEY (stream, entry)
);
CREATE INDEX exclusion_entry ON exclusion (entry);
CREATE INDEX exclusion_back ON exclusion (stream, entry) WHERE back;
