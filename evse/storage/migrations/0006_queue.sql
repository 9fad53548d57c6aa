-- Which back end a message is for, readings that wait for their StopTransaction, and who ended a transaction.
-- backend is the CSMS that a session was first told to ('' = none yet); its later messages belong to the same one.
ALTER TABLE outbox ADD COLUMN backend TEXT NOT NULL DEFAULT '';
ALTER TABLE session ADD COLUMN backend TEXT NOT NULL DEFAULT '';
ALTER TABLE session ADD COLUMN stop_token TEXT NOT NULL DEFAULT '';

CREATE TABLE tx_reading (
  reading_id INTEGER PRIMARY KEY AUTOINCREMENT,
  session_id TEXT NOT NULL,
  wall INTEGER NOT NULL,
  context TEXT NOT NULL,
  sampled TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX tx_reading_once ON tx_reading (session_id, context, wall);
