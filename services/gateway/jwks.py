"""Tokens of an identity provider: its keys (JWKS, RFC 7517), and what a token must be.

Pinned are the algorithms (``ALGORITHMS``; each key has one, and verifies nothing but that), the
issuer and the audience; ``exp`` and ``kid`` are required. Keys are looked up by ``kid`` in a copy
of the provider's set:

* The copy is renewed when it is older than ``FRESH_MS``: a key that the provider has withdrawn is
  taken that much longer at most. While the provider does not answer, known keys go on.
* A ``kid`` that is not in it renews it too, so that a rotation is seen at once, but the provider is
  asked once in ``PAUSE_MS`` at most, whatever is sent. If it does not answer, an unknown key is an
  Outage (503), for the token may be good; if it does, the token is not (401).

Requests that need the same renewal wait for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
import msgspec
import structlog
from jwt import PyJWK

from shared.models.errors import Outage, Unauthorised

ALGORITHMS: Final = frozenset({"RS256", "ES256", "EdDSA"})
FRESH_MS: Final = 10 * 60 * 1_000
PAUSE_MS: Final = 30_000
FETCH_TIMEOUT_S: Final = 3.0
FETCH_BYTES_MAX: Final = 256 * 1_024
KEYS_MAX: Final = 100
RSA_BITS_MIN: Final = 2_048  # RFC 7518, 3.3
LEEWAY_S: Final = 10

_log = structlog.get_logger("gateway")

Fetch = Callable[[], Awaitable[bytes]]


def check_url(url: str, *, require_https: bool) -> None:
    """Raise ValueError unless keys may be fetched from there: https, or loopback in development."""
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None:
        raise ValueError("is no URL with a host and without credentials")
    if parts.scheme == "https":
        return
    if parts.scheme != "http" or require_https or not _is_loopback(parts.hostname):
        raise ValueError(
            "is not https; http is for loopback only, with HOOKLANE_REQUIRE_HTTPS=false"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_keys(document: bytes) -> dict[str, PyJWK]:
    """Return the keys of a set that verify tokens here, by ``kid``; raises ValueError for none."""
    try:
        listed = msgspec.json.decode(document, type=_KeySet).keys[:KEYS_MAX]
    except msgspec.MsgspecError as error:
        raise ValueError(f"is no JSON Web Key Set: {error}") from None
    keys: dict[str, PyJWK] = {}
    for one in listed:
        kid = one.get("kid")
        key = _usable(one)
        if isinstance(kid, str) and key is not None:
            keys[kid] = key
    if not keys:
        raise ValueError("has no key with a kid for RS256, ES256 or EdDSA")
    return keys


class _KeySet(msgspec.Struct, frozen=True):
    """A JSON Web Key Set."""

    keys: list[dict[str, Any]]


def _usable(listed: dict[str, Any]) -> PyJWK | None:
    """Return a key that may verify tokens, None for others: they are not for us."""
    if listed.get("use", "sig") != "sig":
        return None
    try:
        key = PyJWK(listed)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if key.algorithm_name not in ALGORITHMS or hasattr(key.key, "private_bytes"):
        return None
    return None if getattr(key.key, "key_size", RSA_BITS_MIN) < _bits_min(key) else key


def _bits_min(key: PyJWK) -> int:
    return RSA_BITS_MIN if key.algorithm_name == "RS256" else 0


class Provider:
    """An identity provider. One for each gateway; ``fetch`` gets its key set or raises Outage."""

    def __init__(
        self, *, issuer: str, audience: str, fetch: Fetch, now_ms: Callable[[], int]
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._fetch = fetch
        self._now_ms = now_ms
        self._keys: Mapping[str, PyJWK] = {}
        self._renewed_ms = -FRESH_MS
        self._tried_ms = -PAUSE_MS
        self._trouble: str | None = None
        self._renewing = asyncio.Lock()

    async def claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a valid token; raises Unauthorised, and Outage as said above."""
        try:
            key = await self._key(jwt.get_unverified_header(token).get("kid"))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthorised("the token has expired; sign in again") from None
        except jwt.InvalidTokenError as error:
            raise Unauthorised(f"the token is not valid: {error}") from None
        return claims

    async def _key(self, kid: object) -> PyJWK:
        if not isinstance(kid, str):
            raise Unauthorised("the token does not name its key; its header needs a kid")
        if kid not in self._keys or self._now_ms() - self._renewed_ms >= FRESH_MS:
            await self._renew()
        known = self._keys.get(kid)
        if known is not None:
            return known
        if self._trouble is not None:
            raise Outage(f"the identity provider's keys cannot be fetched ({self._trouble})")
        raise Unauthorised(f"the token's key {kid[:64]!r} is not one of the identity provider's")

    async def _renew(self) -> None:
        """Fetch the keys, unless that was tried just now."""
        async with self._renewing:
            now_ms = self._now_ms()
            if now_ms - self._tried_ms < PAUSE_MS:
                return
            try:
                self._keys = read_keys(await self._fetch())
            except (Outage, ValueError) as error:
                self._trouble = str(error)
                _log.warning("identity_provider_away", reason=self._trouble)
            else:
                self._renewed_ms, self._trouble = now_ms, None
            self._tried_ms = now_ms  # not when the caller hung up meanwhile: then nobody has tried
