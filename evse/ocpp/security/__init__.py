"""The OCPP 1.6 security whitepaper: profiles, certificates, security events. `evse.ocpp.security.facade` is the door."""
