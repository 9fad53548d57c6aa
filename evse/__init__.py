"""Vendor-neutral charging-station controller: headless library, daemon and simulator."""

__version__ = "0.1.0"
