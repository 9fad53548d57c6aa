"""Simulated devices: each speaks its wire protocol from the device's side."""
