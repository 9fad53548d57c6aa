"""The back-end link: OCPP-J engine, durable queue, version 1.6."""
