"""The receiver's side: whether a request was signed by somebody who has one of these secrets.

Give every secret that may have signed, old and new, and a request is accepted in any order of
changing over. Comparisons take the same time whatever is compared, and everything is compared, so
that timing tells nothing about a signature. The body must be the bytes as received, not a parsed
and printed copy. Pure: the time is an argument; ``shared.receiver`` has the clock.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shared.profiles.profile import Profile, Signature
from shared.signing.asymmetric import PUBLIC_PREFIX, public_bytes_of
from shared.signing.schemes import standard_key

TOLERANCE_S: Final = 300
"""How far a timestamp may be from the receiver's clock: what Standard Webhooks recommends."""

SIGNATURES_MAX: Final = 16
"""How many signatures of a header are looked at: each costs the receiver work, and anybody may
send them. Hooklane sends six at most."""

_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}\Z")


class NotVerified(ValueError):
    """The request is not to be trusted; answer it with 401. The message says why, for your log."""


def verify(
    profile: Profile,
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now_s: float,
    tolerance_s: float = TOLERANCE_S,
) -> None:
    """Return if ``body`` and ``headers`` were signed with one of ``secrets``, else raise.

    ``secrets`` are as the API shows them; with ``v1a``, public keys (``whpk_…``). Names of headers
    may be in any case. ``now_s`` is Unix time; it matters where the scheme signs a timestamp.
    Raises NotVerified, and ValueError for secrets that are none of the profile's.
    """
    if not secrets:
        raise ValueError("secrets is empty: give every secret that may have signed")
    given = {name.lower(): value for name, value in headers.items()}
    if profile.signature.scheme == "standard-webhooks":
        signed = _signed_by_standard(profile, given, body, now_s, tolerance_s)
        listed = _header(given, profile.signature.header).split(" ")[:SIGNATURES_MAX]
        matches = [_standard(profile.signature, secret, signed, listed) for secret in secrets]
    else:
        listed = _listed_hex(profile.signature, given)[:SIGNATURES_MAX]
        matches = [_hex(profile.signature, secret, body, listed) for secret in secrets]
    if not any(matches):
        raise NotVerified(
            f"no signature in {profile.signature.header} is made with one of the {len(secrets)} "
            "secrets given, for these bytes"
        )


def _header(given: Mapping[str, str], name: str) -> str:
    value = given.get(name.lower())
    if value is None:
        raise NotVerified(f"the header {name} is missing")
    return value


def _signed_by_standard(
    profile: Profile, given: Mapping[str, str], body: bytes, now_s: float, tolerance_s: float
) -> bytes:
    """Return the bytes that Standard Webhooks signs; refuses what is too old or from the future."""
    webhook_id = _header(given, profile.headers.event_id)
    timestamp = _header(given, "webhook-timestamp")
    if _TIMESTAMP.match(timestamp) is None:
        raise NotVerified("the header webhook-timestamp is no Unix time in seconds")
    age_s = now_s - int(timestamp)
    if abs(age_s) > tolerance_s:
        where = "old" if age_s > 0 else "new"
        raise NotVerified(
            f"the timestamp is {abs(age_s):.0f} seconds too {where} for a tolerance of "
            f"{tolerance_s:.0f}; is this machine's clock right?"
        )
    return f"{webhook_id}.{timestamp}.".encode() + body


def _standard(signature: Signature, secret: str, signed: bytes, listed: Sequence[str]) -> bool:
    if secret.startswith(PUBLIC_PREFIX):
        key = Ed25519PublicKey.from_public_bytes(public_bytes_of(secret))
        found = [one.removeprefix("v1a,") for one in listed if one.startswith("v1a,")]
        return any(_is_signed_by(key, one, signed) for one in found)
    digest = hmac.digest(standard_key(secret, signature.secret_prefix), signed, sha256)
    return _is_listed("v1," + base64.b64encode(digest).decode(), listed)


def _is_signed_by(key: Ed25519PublicKey, encoded: str, signed: bytes) -> bool:
    try:
        key.verify(base64.b64decode(encoded, validate=True), signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _listed_hex(signature: Signature, given: Mapping[str, str]) -> list[str]:
    """Return the signatures of both headers: the one that holds one, and the list beside it."""
    listed = given.get(signature.header_of_all.lower(), "").split(", ")
    return [_header(given, signature.header), *listed]


def _hex(signature: Signature, secret: str, body: bytes, listed: Sequence[str]) -> bool:
    expected = signature.prefix + hmac.digest(secret.encode(), body, sha256).hex()
    return _is_listed(expected, listed)


def _is_listed(expected: str, listed: Sequence[str]) -> bool:
    """Compare with every signature: to stop at the first would tell how many were looked at."""
    wanted = expected.encode()
    return True in [hmac.compare_digest(wanted, one.encode("utf-8", "replace")) for one in listed]
