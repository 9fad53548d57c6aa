"""Commands for technicians, provisioning scripts and firmware checks."""
