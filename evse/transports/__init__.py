"""Dumb pipes: serial, CAN, TCP, WebSocket, and their in-memory twins. No protocol knowledge here."""
