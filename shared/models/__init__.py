"""Records and their wire form. Pure: msgspec and the standard library; no I/O, clock, entropy."""
