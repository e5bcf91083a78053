"""Signature schemes: how a request proves where it comes from. One class for each scheme.

A signer holds one endpoint's keys and returns header lines, ready to be sent. Signatures are made
at send time, over the body's bytes as they are sent. Pure: the time is an argument.

After a rotation an endpoint has several keys: the newest, and earlier ones, each until its end.
The end is looked at whenever something is signed, so nobody has to take a key away in time.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol

from shared.profiles.profile import Profile, Signature
from shared.signing import asymmetric
from shared.signing.mac import HmacSha256

FOR_EVER: Final = float("inf")


class Signer(Protocol):
    """Signs the requests to one endpoint."""

    def lines(self, *, webhook_id: str, timestamp_s: int, body: bytes) -> bytes:
        """Return the signature's header lines, each ended by CRLF."""


class Earlier(NamedTuple):
    """A secret that was replaced, in clear, and until when it signs (Unix milliseconds)."""

    secret: str
    until_ms: int


class _Key(NamedTuple):
    """How a secret signs bytes, giving the signature as its header holds it, and until when."""

    sign: Callable[[bytes], bytes]
    until_ms: float


class HexSigner:
    """``hmac-sha256-hex``: HMAC-SHA256 of the body, in hexadecimal (QR3 and XQR).

    The key is the secret's characters in UTF-8; nothing but the body is signed. The header holds
    one signature, by the key that receivers have had for longest: the oldest one that is not over.
    A receiver that knows nothing of a rotation so goes on working until the overlap that its owner
    chose is over. Meanwhile another header lists the signatures by every key, newest first.
    """

    __slots__ = ("_keys", "_lead", "_lead_of_all")

    def __init__(self, signature: Signature, secret: str, earlier: Sequence[Earlier] = ()) -> None:
        prefix = signature.prefix.encode()
        self._keys = _keys(partial(_hex_signing, prefix), secret, earlier)
        self._lead = f"{signature.header}: ".encode()
        self._lead_of_all = f"{signature.header_of_all}: ".encode()

    def lines(self, *, webhook_id: str, timestamp_s: int, body: bytes) -> bytes:  # noqa: ARG002
        """Return the one header line of this scheme, during an overlap two."""
        signatures = [key.sign(body) for key in _valid(self._keys, timestamp_s)]
        line = self._lead + signatures[-1] + b"\r\n"
        if len(signatures) == 1:
            return line
        return line + self._lead_of_all + b", ".join(signatures) + b"\r\n"


class StandardSigner:
    """``standard-webhooks``: https://www.standardwebhooks.com, over id, time and body.

    A secret behind the profile's prefix is a key for HMAC-SHA256 (``v1``), one behind ``whsk_`` an
    ed25519 key (``v1a``). The header lists a signature by each key, newest first; receivers accept
    the request when they can verify one of them.
    """

    __slots__ = ("_keys",)

    def __init__(self, signature: Signature, secret: str, earlier: Sequence[Earlier] = ()) -> None:
        self._keys = _keys(partial(_standard, signature.secret_prefix), secret, earlier)

    def lines(self, *, webhook_id: str, timestamp_s: int, body: bytes) -> bytes:
        """Return the timestamp and signature lines (the id's line is the profile's)."""
        signed = f"{webhook_id}.{timestamp_s}.".encode() + body
        signatures = b" ".join([key.sign(signed) for key in _valid(self._keys, timestamp_s)])
        return b"webhook-timestamp: %d\r\nwebhook-signature: %b\r\n" % (timestamp_s, signatures)


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


def make_signer(profile: Profile, secret: str, earlier: Sequence[Earlier] = ()) -> Signer:
    """Return the signer of an endpoint of ``profile``; ``earlier`` secrets are newest first.

    Raises ValueError for a secret that is none of the profile's scheme.
    """
    if profile.signature.scheme == "standard-webhooks":
        return StandardSigner(profile.signature, secret, earlier)
    return HexSigner(profile.signature, secret, earlier)


def fits(profile: Profile, secret: str) -> bool:
    """Return whether a secret is one of the profile's scheme."""
    if profile.signature.scheme == "hmac-sha256-hex":
        return not secret.startswith(asymmetric.PRIVATE_PREFIX)
    try:
        make_signer(profile, secret)
    except ValueError:
        return False
    return True


def _keys(
    signing: Callable[[str], Callable[[bytes], bytes]], secret: str, earlier: Sequence[Earlier]
) -> tuple[_Key, ...]:
    """Return the keys, newest first; ``signing`` makes the function that signs with a secret."""
    replaced = (_Key(signing(old.secret), old.until_ms) for old in earlier)
    return (_Key(signing(secret), FOR_EVER), *replaced)


def _valid(keys: tuple[_Key, ...], timestamp_s: int) -> Sequence[_Key]:
    """Return the keys that are not over at this time, newest first; never none."""
    if len(keys) == 1:
        return keys
    return [key for key in keys if timestamp_s * 1000 < key.until_ms]


def _standard(prefix: str, secret: str) -> Callable[[bytes], bytes]:
    if secret.startswith(asymmetric.PRIVATE_PREFIX):
        return asymmetric.signing(secret)
    return partial(_v1, HmacSha256(standard_key(secret, prefix)))


def _hex_signing(prefix: bytes, secret: str) -> Callable[[bytes], bytes]:
    return partial(_hex, prefix, HmacSha256(secret.encode()))


def _hex(prefix: bytes, key: HmacSha256, signed: bytes) -> bytes:
    return prefix + key.digest(signed).hex().encode()


def _v1(key: HmacSha256, signed: bytes) -> bytes:
    return b"v1," + base64.b64encode(key.digest(signed))
