-- Messages to the CSMS that must not be lost, and what it said about id tokens.
-- start_uid and stop_uid stay when the row has been delivered: they make a second start or stop impossible.
ALTER TABLE session ADD COLUMN start_uid TEXT;
ALTER TABLE session ADD COLUMN stop_uid TEXT;

CREATE TABLE outbox (
  row_id INTEGER PRIMARY KEY AUTOINCREMENT,
  unique_id TEXT NOT NULL UNIQUE,
  action TEXT NOT NULL,
  session_id TEXT NOT NULL,
  payload TEXT NOT NULL,
  created INTEGER NOT NULL,
  transaction_id INTEGER,
  attempts INTEGER NOT NULL DEFAULT 0,
  parked TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX outbox_waiting ON outbox (row_id) WHERE parked = '';
CREATE INDEX outbox_by_session ON outbox (session_id, row_id);

CREATE TABLE auth_cache (
  id_token TEXT PRIMARY KEY,
  status TEXT NOT NULL,
  parent TEXT NOT NULL,
  expires_at INTEGER,
  updated_at INTEGER NOT NULL,
  used INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX auth_cache_by_use ON auth_cache (used);
