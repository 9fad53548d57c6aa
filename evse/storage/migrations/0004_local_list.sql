-- Local authorisation list of OCPP. Its version is the setting (ocpp.local_list, version), changed in the same commit.
CREATE TABLE local_list (
  id_token TEXT PRIMARY KEY,
  status TEXT NOT NULL,
  parent TEXT NOT NULL,
  expires_at INTEGER
) STRICT, WITHOUT ROWID;
