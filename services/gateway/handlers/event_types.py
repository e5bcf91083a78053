"""A workspace's event types: those of its product, which stay, and its own, which it makes here.

A type is never deleted and no name of it is taken away, so that what subscribed to it stays
subscribed: it is deprecated (works, and says so), archived (over), or renamed (the old name becomes
an alias). A change is answered when its state is acknowledged on ``endpoints``: every event that is
published after that is matched by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from msgspec import UNSET

from services.gateway.auth import Caller
from services.gateway.contention import until_stored
from services.gateway.errors import FieldError, InvalidFields
from services.gateway.event_schemas import CreateEventType, EventType, UpdateEventType
from services.gateway.ports import Ports
from services.gateway.rooms import check_room
from services.gateway.schemas import DESCRIPTION_LENGTH_MAX
from shared.models.errors import Conflict, NotFound
from shared.models.management import OwnType, Workspace
from shared.models.operational import OPERATIONAL
from shared.profiles.profile import Profile, is_event_type

TYPES_MAX: Final = 200
ALIASES_MAX: Final = 10
EXAMPLE_BYTES_MAX: Final = 4_096

_NOT_OWN: Final = (
    "is an event type of the product or of Hooklane; only the workspace's own can be changed"
)


async def catalogue(ports: Ports, caller: Caller) -> list[EventType]:
    """Return the workspace's event types: the product's, its own, the operational ones."""
    workspace, product = await _workspace(ports, caller)
    own = (own_type_of(one) for one in workspace.types)
    return [*_products(product), *own, *_operational()]


async def get(ports: Ports, caller: Caller, name: str) -> EventType:
    """Return one, by any of its names; raises NotFound."""
    found = await catalogue(ports, caller)
    for one in found:
        if name == one.type or name in one.aliases:
            return one
    raise _not_found(name)


async def create(ports: Ports, caller: Caller, wanted: CreateEventType) -> EventType:
    """Make a type.

    Raises InvalidFields, Conflict for a name that is taken, LimitReached, Outage.
    """
    made = OwnType(
        name=wanted.type,
        aliases=tuple(dict.fromkeys(wanted.aliases)),
        description=wanted.description,
        example=_as_text(wanted.example),
    )
    _check(made)

    def with_it(workspace: Workspace, product: Profile) -> tuple[OwnType, ...]:
        _check_free((made.name, *made.aliases), _taken(workspace, product))
        check_room(workspace.limits, "event_types", len(workspace.types))
        if len(workspace.types) >= TYPES_MAX:
            raise Conflict(f"the workspace has {TYPES_MAX} event types of its own; no more fit")
        return (*workspace.types, made)

    await _change(ports, caller, with_it)
    caller.trail.changed(None, made)
    return own_type_of(made)


async def change(ports: Ports, caller: Caller, name: str, wanted: UpdateEventType) -> EventType:
    """Change a type of the workspace's own; raises InvalidFields, NotFound, Conflict, Outage."""
    changed: list[tuple[OwnType, OwnType]] = []

    def with_change(workspace: Workspace, product: Profile) -> tuple[OwnType, ...]:
        if name in product.names() or name in OPERATIONAL:
            raise Conflict(f"{name!r} {_NOT_OWN}")
        current = next((one for one in workspace.types if name in (one.name, *one.aliases)), None)
        if current is None:
            raise _not_found(name)
        new = changed_by(current, wanted)
        _check(new)
        others = [one for one in workspace.types if one is not current]
        taken = _taken(msgspec.structs.replace(workspace, types=tuple(others)), product)
        _check_free((new.name, *new.aliases), taken)
        changed[:] = [(current, new)]
        return tuple(new if one is current else one for one in workspace.types)

    await _change(ports, caller, with_change)
    ((before, after),) = changed
    caller.trail.changed(before, after)
    return own_type_of(after)


def changed_by(current: OwnType, wanted: UpdateEventType) -> OwnType:
    """Return ``current`` with what ``wanted`` sets; raises InvalidFields. Pure.

    After a new name the old one is an alias.
    """
    new = current
    if wanted.type is not UNSET and wanted.type != current.name:
        aliases = [alias for alias in (*current.aliases, current.name) if alias != wanted.type]
        new = msgspec.structs.replace(new, name=wanted.type, aliases=tuple(aliases))
    if wanted.aliases is not UNSET:
        lost = [alias for alias in new.aliases if alias not in wanted.aliases]
        if lost:
            detail = f"lacks {lost[0]!r}, which may be subscribed to; name it, too"
            raise InvalidFields([FieldError("aliases", detail)])
        new = msgspec.structs.replace(new, aliases=tuple(dict.fromkeys(wanted.aliases)))
    if wanted.description is not UNSET:
        new = msgspec.structs.replace(new, description=wanted.description)
    if wanted.example is not UNSET:
        new = msgspec.structs.replace(new, example=_as_text(wanted.example))
    if wanted.deprecated is not UNSET:
        new = msgspec.structs.replace(new, deprecated=wanted.deprecated)
    if wanted.archived is not UNSET:
        new = msgspec.structs.replace(new, archived=wanted.archived)
    return new


def own_type_of(one: OwnType) -> EventType:
    """Return what a caller sees of a type of its own. Pure."""
    return EventType(
        type=one.name,
        description=one.description,
        aliases=list(one.aliases),
        example=UNSET if one.example is None else msgspec.json.decode(one.example),
        deprecated=one.deprecated,
        archived=one.archived,
        own=True,
    )


def _products(product: Profile) -> Iterable[EventType]:
    aliases = product.events.aliases
    for name, description in product.events.types.items():
        others = [alias for alias, target in aliases.items() if target == name]
        yield EventType(type=name, description=description, aliases=others)


def _operational() -> Iterable[EventType]:
    for name, description in OPERATIONAL.items():
        yield EventType(type=name, description=description, aliases=[], operational=True)


async def _change(
    ports: Ports, caller: Caller, with_change: Callable[[Workspace, Profile], tuple[OwnType, ...]]
) -> None:
    async def attempt() -> Workspace | None:
        workspace, product = await _workspace(ports, caller)
        types = with_change(workspace, product)
        wanted = msgspec.structs.replace(workspace, types=types)
        return await ports.workspaces.set_types(wanted)

    await until_stored("the workspace", attempt)


async def _workspace(ports: Ports, caller: Caller) -> tuple[Workspace, Profile]:
    """Return the workspace and its product's profile."""
    workspace = await ports.workspaces.whole(caller.workspace_id)
    if workspace is None:
        raise NotFound("the workspace does not exist any more")
    return workspace, ports.profiles[workspace.profile]


def _taken(workspace: Workspace, product: Profile) -> set[str]:
    own = (name for one in workspace.types for name in (one.name, *one.aliases))
    return {*product.names(), *own, *OPERATIONAL}


def _check(one: OwnType) -> None:
    """Raise InvalidFields for what a type cannot be."""
    errors = [
        FieldError(field, f"{name[:64]!r} is not an event type such as 'order.created'")
        for field, name in (
            ("type", one.name),
            *((f"aliases[{index}]", alias) for index, alias in enumerate(one.aliases)),
        )
        if not is_event_type(name)
    ]
    if len(one.aliases) > ALIASES_MAX:
        count = len(one.aliases)
        errors.append(FieldError("aliases", f"has {count} items; {ALIASES_MAX} are allowed"))
    if one.name in one.aliases:
        errors.append(FieldError("aliases", f"{one.name!r} is the type itself; leave it out"))
    if len(one.description) > DESCRIPTION_LENGTH_MAX:
        detail = f"has {len(one.description)} characters; {DESCRIPTION_LENGTH_MAX} are allowed"
        errors.append(FieldError("description", detail))
    size = len((one.example or "").encode())
    if size > EXAMPLE_BYTES_MAX:
        detail = f"has {size} bytes as JSON; {EXAMPLE_BYTES_MAX} are allowed"
        errors.append(FieldError("example", detail))
    if errors:
        raise InvalidFields(errors)


def _check_free(names: Iterable[str], taken: set[str]) -> None:
    for name in names:
        if name in taken:
            raise Conflict(f"{name!r} is an event type or an alias already", field="type")


def _as_text(example: dict[str, object] | None) -> str | None:
    return None if example is None else msgspec.json.encode(example).decode()


def _not_found(name: str) -> NotFound:
    return NotFound(f"this workspace has no event type {name[:64]!r}; see GET /v1/event-types")
