"""Widgets shared by the kiosk and the admin console; all drawn from `frame.Frame`."""
