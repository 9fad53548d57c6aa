"""Files to and from the station over OCPP: firmware, diagnostics and logs. docs/ocpp-transfers.md."""
