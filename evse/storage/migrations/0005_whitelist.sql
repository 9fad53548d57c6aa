-- The station's own list of cards and vehicles; times are UTC ns, NULL = never.
CREATE TABLE whitelist (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('RFID', 'EVCC')),
  name TEXT NOT NULL,
  allow INTEGER NOT NULL CHECK (allow IN (0, 1)),
  expires_at INTEGER,
  created_at INTEGER,
  used_at INTEGER
) STRICT, WITHOUT ROWID;
