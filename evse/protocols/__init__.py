"""Sans-IO codecs: bytes in, messages out, no clock and no I/O. One module per protocol."""
