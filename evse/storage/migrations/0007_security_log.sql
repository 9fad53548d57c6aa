-- Security events (OCPP 1.6 security whitepaper); times are UTC ns. state: what became of it towards the CSMS.
CREATE TABLE security_event (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  wall INTEGER NOT NULL,
  kind TEXT NOT NULL,
  tech_info TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('logged', 'waiting', 'sent', 'refused'))
) STRICT;
CREATE INDEX security_event_waiting ON security_event (seq) WHERE state = 'waiting';
CREATE INDEX security_event_wall ON security_event (wall);
