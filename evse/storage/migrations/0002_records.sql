-- Event history, audit, durable settings.
CREATE TABLE event (
  seq INTEGER PRIMARY KEY,
  wall INTEGER NOT NULL,
  kind TEXT NOT NULL,
  evse_id INTEGER NOT NULL,
  data TEXT NOT NULL
) STRICT;

CREATE INDEX event_by_kind ON event (kind, seq);

CREATE TABLE audit (
  audit_id INTEGER PRIMARY KEY AUTOINCREMENT,
  wall INTEGER NOT NULL,
  who TEXT NOT NULL,
  origin TEXT NOT NULL,
  operation TEXT NOT NULL,
  target TEXT NOT NULL,
  old TEXT NOT NULL,
  new TEXT NOT NULL,
  result TEXT NOT NULL
) STRICT;

CREATE TABLE setting (
  namespace TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;
