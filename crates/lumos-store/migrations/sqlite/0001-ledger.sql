-- The ledger: entries in order, and what the one writer must know to append the next.
CREATE TABLE entries (
  idx     INTEGER PRIMARY KEY,
  stream  TEXT    NOT NULL,
  version INTEGER NOT NULL,
  kind    TEXT    NOT NULL,
  bytes   BLOB    NOT NULL,
  leaf    BLOB    NOT NULL,
  UNIQUE (stream, version)
) STRICT;

-- The version each stream has; a stream without a row is at version 0.
CREATE TABLE streams (
  stream  TEXT    NOT NULL PRIMARY KEY,
  version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every event type that occurs, so that a start need not read the whole ledger to know them.
CREATE TABLE kinds (
  kind TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- One row: how many entries there are, and the frontier of the tree over them.
CREATE TABLE head (
  one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  size     INTEGER NOT NULL,
  frontier BLOB    NOT NULL
) STRICT;

INSERT INTO head (one, size, frontier) VALUES (1, 0, x'0000000000000000');

-- Where each command landed, so that a repeated one is answered and not done again.
CREATE TABLE commands (
  command_id TEXT    NOT NULL PRIMARY KEY,
  first      INTEGER NOT NULL,
  count      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The readable values of sealed fields: the only rows of the ledger that may ever be deleted.
CREATE TABLE sealed (
  commitment TEXT NOT NULL PRIMARY KEY,
  salt       BLOB NOT NULL,
  value      TEXT NOT NULL
) STRICT, WITHOUT ROWID;
