"""One validated configuration: the declared options, TOML load and save, profiles, errors with file and line."""
