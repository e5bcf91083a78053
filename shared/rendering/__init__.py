"""How a webhook's body becomes bytes. Pure: no I/O, clock, entropy; imports msgspec at most."""
