"""The Textual front ends: driver kiosk and admin console over one library."""
