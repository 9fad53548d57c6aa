"""One SQLite file: sessions, samples, outbox, events, audit, settings. See docs/storage.md."""
