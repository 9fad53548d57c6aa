-- Sessions (plug-in to unplug, with the transaction inside) and their samples.
CREATE TABLE session (
  session_id TEXT PRIMARY KEY,
  evse_id INTEGER NOT NULL,
  connector_id INTEGER NOT NULL,
  plugged_at INTEGER NOT NULL,
  started_at INTEGER,
  ended_at INTEGER,
  unplugged_at INTEGER,
  energy_wh INTEGER NOT NULL,
  meter_start_wh INTEGER,
  meter_stop_wh INTEGER,
  soc_start_pct INTEGER,
  soc_end_pct INTEGER,
  power_max_w INTEGER NOT NULL,
  auth_source TEXT NOT NULL,
  id_token TEXT NOT NULL,
  evcc_id TEXT NOT NULL,
  transaction_id INTEGER,
  stop_reason TEXT,
  fault TEXT NOT NULL
) STRICT;

CREATE INDEX session_by_time ON session (plugged_at);
CREATE INDEX session_open ON session (session_id) WHERE started_at IS NOT NULL AND ended_at IS NULL;

CREATE TABLE point (
  point_id INTEGER PRIMARY KEY AUTOINCREMENT,
  session_id TEXT NOT NULL,
  wall INTEGER NOT NULL,
  power_w INTEGER NOT NULL,
  energy_wh INTEGER NOT NULL,
  soc_pct INTEGER,
  meter_wh INTEGER
) STRICT;

CREATE UNIQUE INDEX point_by_session ON point (session_id, wall);
