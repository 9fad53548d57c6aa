"""The driver's screen: no quit, no palette, four keys."""
