"""Our own terminal driver: a cell diff with paced output instead of whole frames."""
