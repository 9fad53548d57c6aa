"""One SQLite database: sessions, transactions, outbox, events, audit, settings. Durable before it counts."""
