"""Signature schemes: how a request proves where it comes from. One class for each scheme.

A signer holds one endpoint's key and returns header lines, ready to be sent. Signatures are made at
send time, over the body's bytes as they are sent. Pure: the time is an argument.
"""

from __future__ import annotations

import base64
import hmac
from hashlib import sha256
from typing import Protocol

from shared.profiles.profile import Profile, Signature


class Signer(Protocol):
    """Signs the requests to one endpoint."""

    def lines(self, *, webhook_id: str, timestamp_s: int, body: bytes) -> bytes:
        """Return the signature's header lines, each ended by CRLF."""


class HexSigner:
    """``hmac-sha256-hex``: HMAC-SHA256 of the body, in hexadecimal (QR3 and XQR).

    The key is the secret's characters in UTF-8; nothing but the body is signed.
    """

    __slots__ = ("_key", "_lead")

    def __init__(self, signature: Signature, secret: str) -> None:
        self._key = secret.encode()
        self._lead = f"{signature.header}: {signature.prefix}".encode()

    def lines(self, *, webhook_id: str, timestamp_s: int, body: bytes) -> bytes:  # noqa: ARG002
        """Return the one header line of this scheme."""
        return self._lead + hmac.digest(self._key, body, sha256).hex().encode() + b"\r\n"


class StandardSigner:
    """``standard-webhooks``: v1 of https://www.standardwebhooks.com, over id, time and body.

    The key is the base64 part of the secret behind its prefix.
    """

    __slots__ = ("_key",)

    def __init__(self, signature: Signature, secret: str) -> None:
        self._key = standard_key(secret, signature.secret_prefix)

    def lines(self, *, webhook_id: str, timestamp_s: int, body: bytes) -> bytes:
        """Return the timestamp and signature lines (the id's line is the profile's)."""
        signed = f"{webhook_id}.{timestamp_s}.".encode() + body
        digest = base64.b64encode(hmac.digest(self._key, signed, sha256))
        return b"webhook-timestamp: %d\r\nwebhook-signature: v1,%b\r\n" % (timestamp_s, digest)


def standard_key(secret: str, prefix: str) -> bytes:
    """Return the key inside a Standard Webhooks secret; raises ValueError, with the fix.

    Padding is not made up for: the receivers' libraries would not take the secret without it.
    """
    try:
        key = base64.b64decode(secret.removeprefix(prefix), validate=True)
    except ValueError:
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError(f"the secret must be {prefix!r} and base64 of 24 to 64 bytes")
    return key


def make_signer(profile: Profile, secret: str) -> Signer:
    """Return the signer of an endpoint of ``profile`` with this secret."""
    if profile.signature.scheme == "standard-webhooks":
        return StandardSigner(profile.signature, secret)
    return HexSigner(profile.signature, secret)
