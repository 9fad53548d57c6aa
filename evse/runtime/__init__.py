"""The imperative shell: wiring, control loop, supervisor, recorder, daemon."""
