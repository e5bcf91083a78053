"""Keys for ``v1a`` of Standard Webhooks: ed25519, where receivers hold nothing that is secret.

A private key is ``whsk_`` and base64 of its 32 bytes, and is treated as every secret is: sealed at
rest, opened in the signer only, never shown. Its public key, ``whpk_`` and base64 of 32 bytes, is
for everybody, also as a JSON Web Key (RFC 8037), whose ``kid`` is its thumbprint (RFC 7638). Pure.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from hashlib import sha256
from typing import Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PRIVATE_PREFIX: Final = "whsk_"
PUBLIC_PREFIX: Final = "whpk_"
KEY_BYTES: Final = 32


class Jwk(msgspec.Struct, frozen=True, kw_only=True):
    """An ed25519 public key as a JSON Web Key."""

    kty: Literal["OKP"] = "OKP"
    crv: Literal["Ed25519"] = "Ed25519"
    x: str
    kid: str
    use: Literal["sig"] = "sig"
    alg: Literal["EdDSA"] = "EdDSA"


def new_private_key(entropy: bytes) -> str:
    """Return a fresh private key; ``entropy`` is ``KEY_BYTES`` random bytes."""
    if len(entropy) != KEY_BYTES:
        raise ValueError(f"entropy has {len(entropy)} bytes, {KEY_BYTES} are needed")
    return PRIVATE_PREFIX + base64.b64encode(entropy).decode()


def public_key_of(private_key: str) -> str:
    """Return the public key of a private one; raises ValueError when that is none."""
    raw = _private(private_key).public_key().public_bytes_raw()
    return PUBLIC_PREFIX + base64.b64encode(raw).decode()


def public_bytes_of(public_key: str) -> bytes:
    """Return the bytes of a public key, ``whpk_…``; raises ValueError when it is none."""
    try:
        raw = base64.b64decode(public_key.removeprefix(PUBLIC_PREFIX), validate=True)
    except ValueError:
        raw = b""
    if len(raw) != KEY_BYTES:
        raise ValueError(f"a public key is {PUBLIC_PREFIX!r} and base64 of {KEY_BYTES} bytes")
    return raw


def signing(private_key: str) -> Callable[[bytes], bytes]:
    """Return the function that signs bytes: ``v1a,<base64>``; raises ValueError for no key."""
    sign = _private(private_key).sign

    def v1a(signed: bytes) -> bytes:
        return b"v1a," + base64.b64encode(sign(signed))

    return v1a


def jwk_of(public_key: str) -> Jwk:
    """Return a public key, ``whpk_…``, as a JSON Web Key."""
    x = _url_safe(public_bytes_of(public_key))
    # RFC 7638, 3.2: the required members only, in the order of their names, without white space.
    thumbprint = sha256(b'{"crv":"Ed25519","kty":"OKP","x":"%b"}' % x.encode()).digest()
    return Jwk(x=x, kid=_url_safe(thumbprint))


def _private(text: str) -> Ed25519PrivateKey:
    try:
        seed = base64.b64decode(text.removeprefix(PRIVATE_PREFIX), validate=True)
        return Ed25519PrivateKey.from_private_bytes(seed)
    except ValueError:
        raise ValueError(
            f"a private key is {PRIVATE_PREFIX!r} and base64 of {KEY_BYTES} bytes"
        ) from None


def _url_safe(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
