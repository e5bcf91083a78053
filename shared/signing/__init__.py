"""Signatures of requests and the encryption of endpoint secrets. Pure: no I/O, no clock."""
