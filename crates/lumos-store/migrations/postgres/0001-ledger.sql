-- The ledger: entries in order, and what is needed to append the next. The same tables as in SQLite. Names
-- compare by their bytes, so that no change of a locale can disturb an index.
CREATE TABLE entries (
  idx     BIGINT             NOT NULL PRIMARY KEY,
  stream  TEXT   COLLATE "C" NOT NULL,
  version BIGINT             NOT NULL,
  kind    TEXT   COLLATE "C" NOT NULL,
  bytes   BYTEA              NOT NULL,
  leaf    BYTEA              NOT NULL,
  UNIQUE (stream, version)
);

-- The version each stream has; a stream without a row is at version 0. Room is left in its pages, so that an
-- update stays in its own.
CREATE TABLE streams (
  stream  TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
  version BIGINT             NOT NULL
) WITH (fillfactor = 70);

-- Every event type that occurs, so that a start need not read the whole ledger to know them.
CREATE TABLE kinds (
  kind TEXT COLLATE "C" NOT NULL PRIMARY KEY
);

-- One row: how many entries there are, and the frontier of the tree over them. Who appends holds its lock, so
-- that indices have no gap and no two replicas write at once.
CREATE TABLE head (
  one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  size     BIGINT  NOT NULL,
  frontier BYTEA   NOT NULL
) WITH (fillfactor = 10);

INSERT INTO head (one, size, frontier) VALUES (1, 0, '\x0000000000000000');

-- Where each command landed, so that a repeated one is answered and not done again.
CREATE TABLE commands (
  command_id TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
  first      BIGINT             NOT NULL,
  count      BIGINT             NOT NULL
);

-- The readable values of sealed fields: the only rows of the ledger that may ever be deleted.
CREATE TABLE sealed (
  commitment TEXT  COLLATE "C" NOT NULL PRIMARY KEY,
  salt       BYTEA             NOT NULL,
  value      TEXT              NOT NULL
);

-- Everything large, in pieces: a blob is there when its row is, and then all its pieces are.
CREATE TABLE blobs (
  digest TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
  size   BIGINT             NOT NULL
);

CREATE TABLE blob_pieces (
  digest TEXT   COLLATE "C" NOT NULL REFERENCES blobs (digest) ON DELETE CASCADE,
  piece  BIGINT             NOT NULL,
  bytes  BYTEA              NOT NULL,
  PRIMARY KEY (digest, piece)
);
-- Large things are often compressed already.
ALTER TABLE blob_pieces ALTER COLUMN bytes SET STORAGE EXTERNAL;
