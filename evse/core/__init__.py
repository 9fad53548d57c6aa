"""The charging core: pure functions from (state, inputs, now) to (state, outputs), and the independent gate."""
