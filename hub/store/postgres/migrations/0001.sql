-- Ids are 16 bytes, times Unix microseconds, positions dense from 1. Text that strangers write and that is looked up by
-- (user names, keys) is bytea: the database is to compare bytes, not words. Lists of attribute names are text, one space
-- between names.

CREATE TABLE head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    position bigint NOT NULL,
    tag bytea NOT NULL,
    oldest bigint NOT NULL,
    policy text NOT NULL
);

CREATE TABLE change (
    position bigint PRIMARY KEY,
    tag bytea NOT NULL,
    time bigint NOT NULL,
    entry bytea,
    party bytea,
    kind text COLLATE "C" NOT NULL,
    attributes text COLLATE "C" NOT NULL,
    actor text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    txn text COLLATE "C" NOT NULL
);

-- tag, here and in grants, is that of the line at position: the end of a page is found without reading the log.
CREATE TABLE entry (
    id bytea PRIMARY KEY,
    type text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    user_name bytea,
    doc text COLLATE "C",
    active boolean NOT NULL,
    version bigint NOT NULL,
    created bigint NOT NULL,
    position bigint NOT NULL,
    tag bytea NOT NULL,
    deleted bigint NOT NULL,
    marks bytea NOT NULL,
    created_at bigint NOT NULL,
    changed bigint NOT NULL
);
CREATE UNIQUE INDEX entry_user_name ON entry (type, user_name) WHERE user_name IS NOT NULL;
CREATE INDEX entry_position ON entry (position);
CREATE INDEX entry_type ON entry (type, id) WHERE deleted = 0;
CREATE INDEX entry_deleted ON entry (deleted) WHERE deleted <> 0;

CREATE TABLE entry_key (
    source text COLLATE "C",
    key bytea,
    entry bytea NOT NULL,
    PRIMARY KEY (source, key)
);
CREATE INDEX entry_key_entry ON entry_key (entry);

CREATE TABLE reference (
    from_entry bytea,
    name text COLLATE "C",
    key bytea,
    source text COLLATE "C" NOT NULL,
    target bytea,
    PRIMARY KEY (from_entry, name, key)
);
CREATE INDEX reference_unresolved ON reference (source, key) WHERE target IS NULL;
CREATE INDEX reference_target ON reference (target) WHERE target IS NOT NULL;

CREATE TABLE grants (
    id bytea PRIMARY KEY,
    party bytea NOT NULL,
    entry bytea NOT NULL,
    attributes text COLLATE "C" NOT NULL,
    purposes bigint NOT NULL,
    until bigint NOT NULL,
    roots bigint NOT NULL,
    given bigint NOT NULL,
    ended bigint NOT NULL,
    regraded bigint NOT NULL,
    position bigint NOT NULL,
    tag bytea NOT NULL,
    gone boolean NOT NULL,
    version bigint NOT NULL,
    marks bytea NOT NULL,
    created_at bigint NOT NULL,
    changed bigint NOT NULL,
    UNIQUE (entry, party)
);
CREATE UNIQUE INDEX grants_feed ON grants (party, position);
CREATE INDEX grants_until ON grants (until) WHERE ended = 0 AND until <> 0;
CREATE INDEX grants_ended ON grants (ended) WHERE ended <> 0;

CREATE TABLE party (
    id bytea PRIMARY KEY,
    doc text COLLATE "C" NOT NULL,
    agreement boolean NOT NULL,
    generation bigint NOT NULL,
    removed bigint NOT NULL,
    created_at bigint NOT NULL
);

CREATE TABLE token (
    id bytea PRIMARY KEY,
    role text COLLATE "C" NOT NULL,
    party bytea,
    name text COLLATE "C" NOT NULL,
    hash bytea NOT NULL UNIQUE,
    created_at bigint NOT NULL,
    revoked bigint NOT NULL
);

CREATE TABLE echo (
    id bytea PRIMARY KEY,
    doc text COLLATE "C" NOT NULL
);

CREATE TABLE cookie (
    source text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);

CREATE TABLE signal (
    position bigint PRIMARY KEY,
    entry bytea NOT NULL,
    type text COLLATE "C" NOT NULL,
    covers text COLLATE "C" NOT NULL,
    payload bytea,
    expires bigint NOT NULL,
    txn text COLLATE "C" NOT NULL,
    time bigint NOT NULL
);
CREATE INDEX signal_entry ON signal (entry);
CREATE INDEX signal_alive ON signal (position) WHERE payload IS NOT NULL;

CREATE TABLE signal_party (
    party bytea,
    position bigint,
    PRIMARY KEY (party, position)
);
CREATE INDEX signal_party_position ON signal_party (position);

CREATE TABLE stream (
    id bytea PRIMARY KEY,
    party bytea NOT NULL,
    settings text COLLATE "C" NOT NULL,
    method text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    base bigint NOT NULL,
    at bigint NOT NULL,
    signal bigint NOT NULL,
    tag bytea NOT NULL,
    generation bigint NOT NULL,
    version bigint NOT NULL,
    created_at bigint NOT NULL,
    verified bigint NOT NULL,
    failures bigint NOT NULL,
    problem text COLLATE "C" NOT NULL,
    next_order bigint NOT NULL,
    lease_owner text COLLATE "C" NOT NULL,
    lease_until bigint NOT NULL
);
CREATE INDEX stream_party ON stream (party);

CREATE TABLE delivery (
    id bytea PRIMARY KEY,
    stream bytea NOT NULL,
    party bytea NOT NULL,
    entry bytea,
    ord bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    gone boolean NOT NULL,
    names text COLLATE "C" NOT NULL,
    given bigint NOT NULL,
    generation bigint NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL,
    time bigint NOT NULL,
    txn text COLLATE "C" NOT NULL,
    signal bigint NOT NULL,
    type text COLLATE "C" NOT NULL,
    payload bytea,
    sent boolean NOT NULL,
    busy bigint NOT NULL,
    owner text COLLATE "C" NOT NULL,
    due bigint NOT NULL,
    attempts bigint NOT NULL,
    void boolean NOT NULL,
    remake boolean NOT NULL
);
CREATE INDEX delivery_stream ON delivery (stream, ord);
CREATE INDEX delivery_entry ON delivery (entry, party);
CREATE INDEX delivery_signal ON delivery (signal) WHERE signal <> 0;

-- One row per security event token of a delivery, in the order n.
CREATE TABLE set_token (
    delivery bytea,
    n bigint,
    jti text COLLATE "C" NOT NULL UNIQUE,
    compact bytea,
    settled boolean NOT NULL,
    PRIMARY KEY (delivery, n)
);

CREATE TABLE dead_letter (
    id bytea PRIMARY KEY,
    stream bytea NOT NULL,
    party bytea NOT NULL,
    entry bytea,
    kind text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    time bigint NOT NULL
);
CREATE INDEX dead_letter_party ON dead_letter (party, time);

CREATE TABLE scratch (
    key bytea PRIMARY KEY,
    kin bytea NOT NULL,
    value bytea NOT NULL,
    expires bigint NOT NULL
);
CREATE INDEX scratch_group ON scratch (kin, expires);
CREATE INDEX scratch_expires ON scratch (expires);

CREATE TABLE secret (
    name text COLLATE "C" PRIMARY KEY,
    wrapped bytea NOT NULL,
    created_at bigint NOT NULL
);
