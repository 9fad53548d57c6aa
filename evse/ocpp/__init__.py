"""OCPP towards the CSMS: engine, durable queue, and the station's side of OCPP 1.6J. See docs/ocpp.md."""
