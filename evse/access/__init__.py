"""Who may do what: roles, service PIN, one-time codes, lockout, secrets."""
