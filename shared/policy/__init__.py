"""Decisions as pure functions from values to values: no I/O, no clock, no entropy."""
