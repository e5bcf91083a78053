"""Measurements on this machine, on loopback, bounded in count and time. See ``bench/README.md``."""
