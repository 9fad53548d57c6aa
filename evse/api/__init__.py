"""The typed local API: one registry of operations, models, server, sync and async clients."""
