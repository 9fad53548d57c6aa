"""Thin drivers: each owns its bus or port, keeps the latest value, never blocks the control loop."""
