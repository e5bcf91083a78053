"""API keys of a workspace: make, look at, change, rotate, revoke.

Two laws. **A caller can neither grant nor touch what it may not do itself**: with a key that may do
more than it, it does nothing, and no key gets more from it than it has. So scopes never grow,
however calls are chained. **A workspace is not locked out by mistake**: the last key that can
manage keys for good stays (``locks_out``). One that leaked is rotated with no overlap.

Where two callers change keys at the same time, each looks again after its change; whoever then
finds the workspace locked out takes its change back. Both may be refused, never both done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET

from services.gateway import auth
from services.gateway.auth import KEYS_WRITE, ROLES, SCOPES, Caller, granted
from services.gateway.contention import until_stored
from services.gateway.errors import FieldError, InvalidFields
from services.gateway.key_schemas import (
    NAME_LENGTH_MAX,
    CreateApiKey,
    RotateApiKey,
    UpdateApiKey,
)
from services.gateway.ports import Ports
from services.gateway.rooms import check_room
from services.gateway.schemas import OVERLAP_S_MAX
from services.gateway.times import time_of
from shared.models import ids
from shared.models.errors import Conflict, Forbidden, Invalid, NotFound
from shared.models.management import ApiKey, EarlierKey

KEYS_MAX: Final = 100
"""Of a workspace; each is looked at to see that one remains that can manage the others."""

EARLIER_MAX: Final = 5


class Made(NamedTuple):
    """A key, and its secret: the only time that it can be seen."""

    key: ApiKey
    secret: str


async def create(ports: Ports, caller: Caller, wanted: CreateApiKey) -> Made:
    """Make a key; raises InvalidFields, Forbidden, Conflict or LimitReached, Outage."""
    expires_ms = _expiry(ports, wanted.expires_at)
    _check(wanted)
    made = new_key(
        ports,
        workspace_id=caller.workspace_id,
        name=wanted.name,
        role=wanted.role,
        scopes=wanted.scopes or (),
        expires_ms=expires_ms,
    )
    _check_grants(caller, made.key)
    have = len(await ports.api_keys.of_workspace(caller.workspace_id))
    check_room(caller.limits, "api_keys", have)
    if have >= KEYS_MAX:
        raise Conflict(f"the workspace has {KEYS_MAX} API keys; revoke one that nobody uses")
    await ports.api_keys.add(made.key)
    caller.trail.changed(None, made.key)
    return made


async def page(
    ports: Ports, caller: Caller, *, limit: int, before: str | None
) -> tuple[list[ApiKey], str | None]:
    """Return a page of keys, newest first, and where the next one begins."""
    found = await ports.api_keys.of_workspace(caller.workspace_id)
    older = [key for key in found if before is None or key.id < before]
    shown = older[:limit]
    return shown, shown[-1].id if len(older) > limit else None


async def get(ports: Ports, caller: Caller, key_id: str) -> ApiKey:
    """Return a key that was not revoked; raises NotFound."""
    return _named(await ports.api_keys.of_workspace(caller.workspace_id), key_id)


async def change(ports: Ports, caller: Caller, key_id: str, wanted: UpdateApiKey) -> ApiKey:
    """Change a key; raises InvalidFields, NotFound, Forbidden, Conflict, Outage."""
    expires_ms = UNSET if wanted.expires_at is UNSET else _expiry(ports, wanted.expires_at)
    _check(wanted)

    def changed(current: ApiKey) -> ApiKey:
        new = current
        if wanted.name is not UNSET:
            new = msgspec.structs.replace(new, name=wanted.name)
        if wanted.role is not UNSET or wanted.scopes is not UNSET:
            role = None if wanted.role is UNSET else wanted.role
            scopes = () if wanted.scopes is UNSET else tuple(dict.fromkeys(wanted.scopes))
            new = msgspec.structs.replace(new, role=role, scopes=scopes)
        if expires_ms is not UNSET:
            new = msgspec.structs.replace(new, expires_ms=expires_ms)
        return new

    return await _change(ports, caller, key_id, changed)


async def rotate(ports: Ports, caller: Caller, key_id: str, wanted: RotateApiKey) -> Made:
    """Give a key a new secret; the old one opens too for the overlap.

    Raises InvalidFields, NotFound, Forbidden, Conflict when too many overlap, Outage.
    """
    if not 0 <= wanted.overlap_s <= OVERLAP_S_MAX:
        detail = f"is {wanted.overlap_s}; 0 to {OVERLAP_S_MAX} seconds (7 days) are allowed"
        raise Invalid(detail, field="overlap_s")
    secret = auth.new_api_key(ports.entropy(auth.KEY_ENTROPY_BYTES))

    def rotated(current: ApiKey) -> ApiKey:
        now_ms = ports.now_ms()
        until_ms = now_ms + wanted.overlap_s * 1_000
        before = EarlierKey(digest=current.digest, hint=current.hint, until_ms=until_ms)
        capped = [
            msgspec.structs.replace(old, until_ms=min(old.until_ms, until_ms))
            for old in (before, *current.earlier)
        ]
        earlier = tuple(old for old in capped if old.until_ms > now_ms)
        if len(earlier) > EARLIER_MAX:
            raise Conflict(
                f"{EARLIER_MAX} earlier secrets of the key still open; rotate with overlap_s 0",
                field="overlap_s",
            )
        return msgspec.structs.replace(
            current,
            digest=auth.digest_of(secret),
            hint=secret[: auth.KEY_HINT_LENGTH],
            earlier=earlier,
        )

    return Made(await _change(ports, caller, key_id, rotated), secret)


async def revoke(ports: Ports, caller: Caller, key_id: str) -> ApiKey:
    """Revoke a key for good; raises NotFound, Forbidden, Conflict for the last one, Outage."""

    def revoked(current: ApiKey) -> ApiKey:
        return msgspec.structs.replace(current, revoked_ms=ports.now_ms())

    return await _change(ports, caller, key_id, revoked)


def new_key(
    ports: Ports,
    *,
    workspace_id: str,
    name: str,
    role: str | None,
    scopes: Iterable[str],
    expires_ms: int | None = None,
) -> Made:
    """Return a fresh key, which is not stored yet."""
    now_ms = ports.now_ms()
    secret = auth.new_api_key(ports.entropy(auth.KEY_ENTROPY_BYTES))
    digest = auth.digest_of(secret)
    key = ApiKey(
        id=ids.derived_id(ids.API_KEY, now_ms, digest),
        digest=digest,
        hint=secret[: auth.KEY_HINT_LENGTH],
        workspace_id=workspace_id,
        scopes=tuple(dict.fromkeys(scopes)),
        role=role,
        created_ms=now_ms,
        name=name,
        expires_ms=expires_ms,
    )
    return Made(key, secret)


def locks_out(before: Iterable[ApiKey], after: Iterable[ApiKey], now_ms: int) -> bool:
    """Return whether a change leaves nobody to manage keys, now or once what expires is over.

    Where nobody could before, nothing is taken away. Pure.
    """
    had, has = _managed_until(before), _managed_until(after)
    return had > now_ms and (has <= now_ms or (had == inf and has < inf))


def _managed_until(keys: Iterable[ApiKey]) -> float:
    """Return until when there is a key that can manage keys."""
    ends = (
        inf if key.expires_ms is None else key.expires_ms
        for key in keys
        if key.revoked_ms is None and KEYS_WRITE in granted(key)
    )
    return max(ends, default=0)


async def _change(
    ports: Ports, caller: Caller, key_id: str, change_of: Callable[[ApiKey], ApiKey]
) -> ApiKey:
    async def attempt() -> ApiKey | None:
        keys = await ports.api_keys.of_workspace(caller.workspace_id)
        current = _named(keys, key_id)
        _check_grants(caller, current)
        wanted = change_of(current)
        _check_grants(caller, wanted)
        others = [key for key in keys if key is not current]
        if locks_out(keys, [*others, wanted], ports.now_ms()):
            raise _last_one()
        changed = await ports.api_keys.replace(current, wanted)
        if changed is None:
            return None
        if locks_out(keys, await ports.api_keys.of_workspace(caller.workspace_id), ports.now_ms()):
            await ports.api_keys.replace(changed, current)
            raise _last_one()
        caller.trail.changed(current, changed)
        return changed

    return await until_stored(key_id, attempt)


def _named(keys: Iterable[ApiKey], key_id: str) -> ApiKey:
    for key in keys:
        if key.id == key_id:
            return key
    raise NotFound(f"this workspace has no API key {key_id[:64]!r}")


def _last_one() -> Conflict:
    return Conflict(
        "no key would be left that can manage API keys (scope 'keys:write') for good; make another "
        "one with the role 'admin' first, or, if this one has leaked, rotate it with overlap_s 0"
    )


def _check_grants(caller: Caller, key: ApiKey) -> None:
    beyond = sorted(granted(key) - caller.scopes)
    if beyond:
        raise Forbidden(
            f"the key has or would have the scope {beyond[0]!r}, which you lack yourself; "
            "use a credential that has it"
        )


def _check(wanted: CreateApiKey | UpdateApiKey) -> None:
    """Raise InvalidFields for what a key cannot be."""
    errors: list[FieldError] = []
    if wanted.name is not UNSET and not 0 < len(wanted.name) <= NAME_LENGTH_MAX:
        errors.append(FieldError("name", f"a name has 1 to {NAME_LENGTH_MAX} characters"))
    role, scopes = wanted.role or UNSET, UNSET if wanted.scopes is None else wanted.scopes
    if role is not UNSET and role not in ROLES:
        errors.append(FieldError("role", f"{role[:64]!r} is no role; known: {', '.join(ROLES)}"))
    if role is not UNSET and scopes is not UNSET:
        errors.append(FieldError("scopes", "a key has a role or scopes of its own; send one"))
    if scopes is not UNSET:
        known = ", ".join(SCOPES)
        errors += [
            FieldError(f"scopes[{index}]", f"{scope[:64]!r} is not a scope; known: {known}")
            for index, scope in enumerate(scopes)
            if scope not in SCOPES
        ]
        if not scopes:
            errors.append(FieldError("scopes", "is empty; name one scope at least"))
    if isinstance(wanted, CreateApiKey) and role is UNSET and scopes is UNSET:
        errors.append(FieldError("role", "is missing; send a role, or scopes"))
    if errors:
        raise InvalidFields(errors)


def _expiry(ports: Ports, text: str | None) -> int | None:
    expires_ms = time_of("expires_at", text)
    if expires_ms is not None and expires_ms <= ports.now_ms():
        raise Invalid("is over already; send a time to come, or none", field="expires_at")
    return expires_ms
