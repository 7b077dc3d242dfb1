-- One row: where the log stands. Every write that takes a position begins under SQLite's write lock, which is its lock.
CREATE TABLE head (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  position INTEGER NOT NULL,
  tag      BLOB    NOT NULL,
  oldest   INTEGER NOT NULL,
  policy   TEXT    NOT NULL
);

CREATE TABLE change (
  position INTEGER PRIMARY KEY,
  tag      BLOB    NOT NULL,
  time     INTEGER NOT NULL,
  entry    BLOB,
  party    BLOB,
  kind     TEXT    NOT NULL,
  names    TEXT    NOT NULL,
  actor    TEXT    NOT NULL,
  source   TEXT    NOT NULL,
  txn      TEXT    NOT NULL
);

-- doc stands last, so that a page without values does not read it.
CREATE TABLE entry (
  id         BLOB    PRIMARY KEY,
  type       TEXT    NOT NULL,
  source     TEXT    NOT NULL,
  active     INTEGER NOT NULL,
  version    INTEGER NOT NULL,
  created    INTEGER NOT NULL,
  position   INTEGER NOT NULL,
  deleted    INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  changed    INTEGER NOT NULL,
  marks      BLOB,
  user_name  TEXT,
  doc        TEXT
);
CREATE UNIQUE INDEX entry_position ON entry (position);
CREATE UNIQUE INDEX entry_user_name ON entry (type, user_name) WHERE user_name IS NOT NULL;
CREATE INDEX entry_type ON entry (type, id) WHERE deleted = 0;
CREATE INDEX entry_deleted ON entry (position) WHERE deleted <> 0;

CREATE TABLE entry_key (
  source TEXT NOT NULL,
  key    TEXT NOT NULL,
  entry  BLOB NOT NULL,
  PRIMARY KEY (source, key)
) WITHOUT ROWID;
CREATE INDEX entry_key_entry ON entry_key (entry);

CREATE TABLE reference (
  from_entry BLOB NOT NULL,
  name       TEXT NOT NULL,
  key        TEXT NOT NULL,
  source     TEXT NOT NULL,
  target     BLOB,
  PRIMARY KEY (from_entry, name, key)
) WITHOUT ROWID;
CREATE INDEX reference_unresolved ON reference (source, key) WHERE target IS NULL;
CREATE INDEX reference_target ON reference (target) WHERE target IS NOT NULL;

-- A grant is also its party's feed row for the entry.
CREATE TABLE grants (
  id         BLOB    PRIMARY KEY,
  party      BLOB    NOT NULL,
  entry      BLOB    NOT NULL,
  position   INTEGER NOT NULL,
  given      INTEGER NOT NULL,
  ended      INTEGER NOT NULL,
  regraded   INTEGER NOT NULL,
  gone       INTEGER NOT NULL,
  version    INTEGER NOT NULL,
  roots      INTEGER NOT NULL,
  attributes TEXT    NOT NULL,
  purposes   INTEGER NOT NULL,
  until      INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  changed    INTEGER NOT NULL,
  marks      BLOB
);
CREATE UNIQUE INDEX grants_pair ON grants (party, entry);
CREATE UNIQUE INDEX grants_feed ON grants (party, position);
CREATE INDEX grants_entry ON grants (entry, party);
CREATE INDEX grants_until ON grants (until) WHERE ended = 0 AND until <> 0;
CREATE INDEX grants_ended ON grants (position) WHERE ended <> 0;

CREATE TABLE party (
  id             BLOB    PRIMARY KEY,
  name           TEXT    NOT NULL,
  audience       TEXT    NOT NULL,
  profile        TEXT    NOT NULL,
  sector         BLOB,
  subject_format TEXT    NOT NULL,
  bounds         TEXT    NOT NULL,
  origins        TEXT    NOT NULL,
  agreement      INTEGER NOT NULL,
  generation     INTEGER NOT NULL,
  removed        INTEGER NOT NULL,
  created_at     INTEGER NOT NULL
);

CREATE TABLE token (
  id         BLOB    PRIMARY KEY,
  role       TEXT    NOT NULL,
  party      BLOB,
  name       TEXT    NOT NULL,
  hash       BLOB    NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  revoked    INTEGER NOT NULL
);
CREATE INDEX token_party ON token (party) WHERE party IS NOT NULL;

CREATE TABLE echo (
  id      BLOB PRIMARY KEY,
  line    TEXT NOT NULL,
  entries BLOB NOT NULL,
  after   BLOB
);

CREATE TABLE cookie (
  source TEXT PRIMARY KEY,
  value  BLOB NOT NULL
);

CREATE TABLE signal (
  position INTEGER PRIMARY KEY,
  entry    BLOB    NOT NULL,
  type     TEXT    NOT NULL,
  covers   TEXT    NOT NULL,
  payload  BLOB,
  expires  INTEGER NOT NULL,
  txn      TEXT    NOT NULL,
  time     INTEGER NOT NULL
);
CREATE INDEX signal_entry ON signal (entry);
CREATE INDEX signal_expires ON signal (expires);

CREATE TABLE signal_party (
  party    BLOB    NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (party, position)
) WITHOUT ROWID;
CREATE INDEX signal_party_position ON signal_party (position);

CREATE TABLE stream (
  id          BLOB    PRIMARY KEY,
  party       BLOB    NOT NULL,
  method      TEXT    NOT NULL, -- of settings, for leases
  settings    TEXT    NOT NULL,
  status      TEXT    NOT NULL,
  reason      TEXT    NOT NULL,
  base        INTEGER NOT NULL,
  at          INTEGER NOT NULL,
  tag         BLOB    NOT NULL,
  signal      INTEGER NOT NULL,
  generation  INTEGER NOT NULL,
  version     INTEGER NOT NULL,
  created_at  INTEGER NOT NULL,
  verified    INTEGER NOT NULL,
  failures    INTEGER NOT NULL,
  problem     TEXT    NOT NULL,
  next_order  INTEGER NOT NULL,
  lease_owner TEXT    NOT NULL,
  lease_until INTEGER NOT NULL
);
CREATE INDEX stream_party ON stream (party);

CREATE TABLE delivery (
  id         BLOB    PRIMARY KEY,
  stream     BLOB    NOT NULL,
  party      BLOB    NOT NULL,
  entry      BLOB,
  ord        INTEGER NOT NULL,
  kind       TEXT    NOT NULL,
  gone       INTEGER NOT NULL,
  names      TEXT    NOT NULL,
  given      INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  version    INTEGER NOT NULL,
  position   INTEGER NOT NULL,
  time       INTEGER NOT NULL,
  txn        TEXT    NOT NULL,
  signal     INTEGER NOT NULL,
  type       TEXT    NOT NULL,
  payload    BLOB,
  sent       INTEGER NOT NULL,
  busy       INTEGER NOT NULL,
  owner      TEXT    NOT NULL,
  due        INTEGER NOT NULL,
  attempts   INTEGER NOT NULL,
  void       INTEGER NOT NULL,
  remake     INTEGER NOT NULL
);
CREATE UNIQUE INDEX delivery_stream ON delivery (stream, ord);
CREATE INDEX delivery_entry ON delivery (entry, party) WHERE entry IS NOT NULL;
CREATE INDEX delivery_signal ON delivery (signal) WHERE signal <> 0;

-- "set" is a word of SQL. compact is the signed token, byte for byte, NULL once settled.
CREATE TABLE security_event_token (
  delivery BLOB    NOT NULL,
  ord      INTEGER NOT NULL,
  jti      TEXT    NOT NULL,
  compact  BLOB,
  settled  INTEGER NOT NULL,
  PRIMARY KEY (delivery, ord)
);
CREATE INDEX security_event_token_jti ON security_event_token (jti);

CREATE TABLE dead_letter (
  id     BLOB    PRIMARY KEY,
  stream BLOB    NOT NULL,
  party  BLOB    NOT NULL,
  entry  BLOB,
  kind   TEXT    NOT NULL,
  reason TEXT    NOT NULL,
  time   INTEGER NOT NULL
);
CREATE INDEX dead_letter_party ON dead_letter (party, time);
CREATE INDEX dead_letter_stream ON dead_letter (stream);

CREATE TABLE scratch (
  key     TEXT    PRIMARY KEY,
  kin     TEXT    NOT NULL, -- hub.Record.Group
  value   BLOB    NOT NULL,
  expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX scratch_kin ON scratch (kin, expires);
CREATE INDEX scratch_expires ON scratch (expires);

CREATE TABLE secret (
  name       TEXT    PRIMARY KEY,
  wrapped    BLOB    NOT NULL,
  created_at INTEGER NOT NULL
);
