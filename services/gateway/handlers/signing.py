"""Signing keys of endpoints: made, shown, rotated, and the public ones published.

A rotation replaces the secret at once and lets the earlier one sign beside it for an overlap that
the caller chooses. When an overlap ends is part of the endpoint's state and is looked at whenever
something is signed: no job has to be in time. No secret outlives the overlap that was chosen last,
so ``overlap_s=0`` leaves nothing but the new secret, whatever was rotated before.

A secret is shown by the call that makes it, and to who has the scope for it; a private key never.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from services.gateway import keys, validation
from services.gateway.auth import Caller
from services.gateway.etags import ANYTHING
from services.gateway.handlers import endpoints
from services.gateway.ports import Ports
from services.gateway.schemas import RotateSecret
from shared.models.endpoints import EarlierSecret
from shared.models.errors import Conflict, NotFound
from shared.models.management import Endpoint
from shared.models.times import iso_ms
from shared.profiles.formats import in_format
from shared.signing import asymmetric
from shared.signing.asymmetric import Jwk

EARLIER_MAX: Final = 5
"""How many earlier secrets may sign at once: each is another signature in every request."""


class Shown(NamedTuple):
    """What a caller sees of a secret: itself, or the public key of a pair.

    ``until_ms`` is when an earlier one ends.
    """

    secret: str | None
    public_key: str | None
    hint: str
    until_ms: int | None


async def show(ports: Ports, caller: Caller, endpoint_id: str) -> list[Shown]:
    """Return the secrets that sign now, newest first; raises NotFound."""
    return _all_shown(ports, await endpoints.get(ports, caller, endpoint_id))


async def rotate(
    ports: Ports, caller: Caller, endpoint_id: str, wanted: RotateSecret
) -> list[Shown]:
    """Replace an endpoint's secret; returns those that sign now, newest first.

    Repeating a call that gave the secret changes nothing more. Raises InvalidFields, NotFound,
    Conflict when too many secrets overlap, or Outage: then the secret may be replaced.
    """

    def change(current: Endpoint) -> Endpoint:
        version = wanted.signature or keys.version_of(current)
        formatted = in_format(caller.profile, current.payload_format)
        validation.check_rotation(wanted, version, formatted)
        secret = wanted.secret or keys.generated(ports, formatted, version)
        return _rotated(ports, current, secret, wanted.overlap_s * 1_000)

    return _all_shown(ports, await endpoints.replace(ports, caller, endpoint_id, ANYTHING, change))


async def public_keys(ports: Ports, endpoint_id: str) -> list[Jwk]:
    """Return the public keys that verify what an endpoint gets now, newest first.

    This is for everybody. Raises NotFound also for an endpoint without any.
    """
    endpoint = await ports.endpoints.find(endpoint_id)
    found = [] if endpoint is None else [endpoint.public_key]
    if endpoint is not None:
        found += [old.public_key for old in _still_signing(endpoint.earlier, ports.now_ms())]
    published = [asymmetric.jwk_of(key) for key in found if key is not None]
    if not published:
        raise NotFound(f"no webhook {endpoint_id[:64]!r} has a public key")
    return published


def _rotated(ports: Ports, current: Endpoint, secret: str, overlap_ms: int) -> Endpoint:
    """Return ``current`` with a new secret, and the ones before it until the overlap is over."""
    now_ms = ports.now_ms()
    until_ms = now_ms + overlap_ms
    before = EarlierSecret(secret=current.secret, until_ms=until_ms, public_key=current.public_key)
    capped = [
        msgspec.structs.replace(old, until_ms=min(old.until_ms, until_ms))
        for old in (before, *current.earlier)
    ]
    earlier = tuple(
        old
        for old in _still_signing(capped, now_ms)
        if ports.keyring.open(old.secret, current.id) != secret
    )
    if len(earlier) > EARLIER_MAX:
        first_end = iso_ms(_still_signing(current.earlier, now_ms)[-1].until_ms)
        raise Conflict(
            f"{EARLIER_MAX} earlier secrets still sign, the first of them until {first_end}; "
            "rotate after that, or with overlap_s 0",
            field="overlap_s",
        )
    sealed = keys.seal(ports, current.id, secret)
    return msgspec.structs.replace(
        current,
        secret=sealed.text,
        secret_hint=sealed.hint,
        public_key=sealed.public_key,
        earlier=earlier,
        updated_ms=now_ms,
    )


def _all_shown(ports: Ports, endpoint: Endpoint) -> list[Shown]:
    def shown(sealed: str, public_key: str | None, until_ms: int | None) -> Shown:
        secret = ports.keyring.open(sealed, endpoint.id)
        hint = validation.hint_of(secret)
        return Shown(None if public_key else secret, public_key, hint, until_ms)

    earlier = _still_signing(endpoint.earlier, ports.now_ms())
    return [
        shown(endpoint.secret, endpoint.public_key, None),
        *(shown(old.secret, old.public_key, old.until_ms) for old in earlier),
    ]


def _still_signing(earlier: Sequence[EarlierSecret], now_ms: int) -> list[EarlierSecret]:
    return [old for old in earlier if now_ms < old.until_ms]
