"""Which endpoints get an event: an index over the registry, kept up to date one change at a time.

The registry is the in-memory state of the ``endpoints`` topic. Matching cost does not depend on
other workspaces' endpoints: workspace, then canonical type, then a tuple that is put together once
and kept until an endpoint of that workspace changes. An endpoint that subscribed to a type, its
alias and ``*`` is matched once. Channels and filters are asked for each event, but only those of
endpoints that subscribed its type; an event whose type nobody restricts costs nothing more.

A pattern (``qr.*``) subscribes every type below it, however deep, by their canonical names and by
their aliases. Operational events are matched by their very name only.

Pure: no I/O; whoever reads the topic calls ``apply``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

import msgspec

from shared.models.endpoints import EndpointState, TypeNames, WorkspaceState, decode_state
from shared.models.operational import OPERATIONAL
from shared.policy.filters import Filter, read_filter
from shared.profiles.profile import ALL_EVENTS, PATTERN_END, Profile

TYPES_REMEMBERED_MAX: Final = 4_096
_DIGITS_MAX: Final = 18

_NOBODY: Final[tuple[EndpointState, ...]] = ()


class Content(Protocol):
    """What of an event decides besides its type: ``models.events.Event``."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Return the channels that it is on."""

    @property
    def data(self) -> bytes:
        """Return its data: a JSON object that is known to be valid."""


class _Nothing(NamedTuple):
    """An event with nothing in it."""

    channels: tuple[str, ...] = ()
    data: bytes = b"{}"


class Choice(NamedTuple):
    """What an endpoint wants of an event besides its type, ready to be asked."""

    channels: frozenset[str]
    filter: Filter | None

    def takes(self, content: Content, data: object) -> bool:
        """Return whether the endpoint wants an event; ``data`` is that of ``content``, decoded."""
        on_channel = not self.channels or not self.channels.isdisjoint(content.channels)
        return on_channel and (self.filter is None or self.filter.holds(data))


class _Audience(NamedTuple):
    """The endpoints that subscribed a type: those that take all of it, and those that choose."""

    plain: tuple[EndpointState, ...]
    choosy: tuple[tuple[EndpointState, Choice], ...]
    reads_data: bool


NOTHING: Final[Content] = _Nothing()


def choice_of(state: EndpointState) -> Choice | None:
    """Return what an endpoint chooses by, None for one that takes every event of its types.

    Raises msgspec.DecodeError for a filter that this release does not know.
    """
    if not state.channels and state.filter is None:
        return None
    compiled = None if state.filter is None else read_filter(state.filter)
    return Choice(frozenset(state.channels), compiled)


def decoded(data: bytes) -> object:
    """Return an event's data, which is known to be JSON, as Python has it."""
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:  # escaped lone surrogates, which only the standard library reads
        return json.loads(data, parse_int=_whole)


def _whole(digits: str) -> int | float:
    """Return an integer, as a float where it is long: ``int`` refuses thousands of digits."""
    return int(digits) if len(digits) <= _DIGITS_MAX else float(digits)


def names_of(profile: Profile, event_type: str) -> tuple[str, ...]:
    """Return every name by which an endpoint of ``profile`` can be subscribed to a type."""
    if event_type in OPERATIONAL:
        return (event_type,)
    canonical = profile.canonical(event_type)
    aliases = (alias for alias, target in profile.events.aliases.items() if target == canonical)
    names = (canonical, *aliases)
    patterns = dict.fromkeys(pattern for name in names for pattern in _patterns(name))
    return (*names, *patterns, ALL_EVENTS)


def _patterns(event_type: str) -> list[str]:
    """Return the patterns that a name is below: ``a.*`` and ``a.b.*`` for ``a.b.c``."""
    parts = event_type.split(".")
    return [".".join(parts[:length]) + PATTERN_END for length in range(1, len(parts))]


class _Workspace:
    """The active subscriptions of one workspace."""

    __slots__ = ("by_type", "matched")

    def __init__(self) -> None:
        self.by_type: dict[str, dict[str, EndpointState]] = {}
        self.matched: dict[str, _Audience] = {}


class Registry:
    """Endpoints and workspaces by id, with the match index. Not thread-safe; one loop owns it."""

    def __init__(self, profiles: Mapping[str, Profile]) -> None:
        self._profiles = profiles
        self._index: dict[str, _Workspace] = {}
        self.endpoints: dict[str, EndpointState] = {}
        self.workspaces: dict[str, WorkspaceState] = {}
        self._choices: dict[str, Choice] = {}  # of endpoints that do not take all of their types
        self._extended: dict[str, Profile] = {}  # of workspaces with event types of their own

    def apply(self, key: str, value: bytes | None) -> None:
        """Take over one record of the topic; an older revision than the known one is ignored.

        Raises msgspec.DecodeError for a value that is no state.
        """
        if value is None:
            self._forget(key)
            return
        state = decode_state(key, value)
        if isinstance(state, WorkspaceState):
            known_workspace = self.workspaces.get(key)
            if known_workspace is None or known_workspace.revision <= state.revision:
                self.workspaces[key] = state
                self._rename(state.id, state.types)
            return
        known = self.endpoints.get(key)
        if known is not None and known.revision > state.revision:
            return
        choice = choice_of(state)  # before anything is changed: it may not be readable
        self._choices.pop(key, None)
        if choice is not None:
            self._choices[key] = choice
        if known is not None:
            self._unsubscribe(known)
        self.endpoints[key] = state
        if state.active:
            self._subscribe(state)

    def match(
        self, workspace_id: str, event_type: str, content: Content = NOTHING
    ) -> tuple[EndpointState, ...]:
        """Return the active endpoints that get an event of this canonical type, each once."""
        workspace = self._index.get(workspace_id)
        if workspace is None:
            return _NOBODY
        audience = workspace.matched.get(event_type)
        if audience is None:
            audience = self._audience(workspace, event_type)
            if len(workspace.matched) >= TYPES_REMEMBERED_MAX:
                workspace.matched.clear()  # an open catalogue lets producers invent types
            workspace.matched[event_type] = audience
        if not audience.choosy:
            return audience.plain
        data = decoded(content.data) if audience.reads_data else None
        chosen = (state for state, choice in audience.choosy if choice.takes(content, data))
        return (*audience.plain, *chosen)

    def _audience(self, workspace: _Workspace, event_type: str) -> _Audience:
        """Put together who subscribed a canonical type, each once."""
        subscribers: dict[str, EndpointState] = {}
        wider = () if event_type in OPERATIONAL else (*_patterns(event_type), ALL_EVENTS)
        for name in (event_type, *wider):
            subscribers |= workspace.by_type.get(name, {})
        choices = self._choices
        choosy = tuple(
            (state, choices[key]) for key, state in subscribers.items() if key in choices
        )
        return _Audience(
            plain=tuple(state for key, state in subscribers.items() if key not in choices),
            choosy=choosy,
            reads_data=any(choice.filter is not None for _, choice in choosy),
        )

    def profile_of(self, workspace_id: str) -> Profile | None:
        """Return the workspace's profile, None for an unknown workspace or profile."""
        workspace = self.workspaces.get(workspace_id)
        if workspace is None:
            return None
        return self._extended.get(workspace_id) or self._profiles.get(workspace.profile)

    def _rename(self, workspace_id: str, types: tuple[TypeNames, ...]) -> None:
        """Index the workspace's endpoints under what its names mean from now on."""
        workspace = self.workspaces.get(workspace_id)
        profile = None if workspace is None else self._profiles.get(workspace.profile)
        extended = None if profile is None or not types else profile.extended(types)
        if extended == self._extended.get(workspace_id):
            return
        index = self._index.get(workspace_id)
        by_type = {} if index is None else index.by_type
        states = {one.id: one for subscribers in by_type.values() for one in subscribers.values()}
        for state in states.values():
            self._unsubscribe(state)
        if extended is None:
            del self._extended[workspace_id]
        else:
            self._extended[workspace_id] = extended
        for state in states.values():
            self._subscribe(state)

    def _forget(self, key: str) -> None:
        if self.workspaces.pop(key, None) is not None:
            self._rename(key, ())
        self._choices.pop(key, None)
        known = self.endpoints.pop(key, None)
        if known is not None:
            self._unsubscribe(known)

    def _types(self, state: EndpointState) -> set[str]:
        profile = self._extended.get(state.workspace_id) or self._profiles.get(state.profile)
        if profile is None:
            return set(state.events)
        types = {profile.canonical(name) for name in state.events}
        for name in state.events:
            if name.endswith(PATTERN_END):
                prefix = name.removesuffix("*")
                aliases = profile.events.aliases.items()
                types |= {target for alias, target in aliases if alias.startswith(prefix)}
        return types

    def _subscribe(self, state: EndpointState) -> None:
        workspace = self._index.setdefault(state.workspace_id, _Workspace())
        for name in self._types(state):
            workspace.by_type.setdefault(name, {})[state.id] = state
        workspace.matched.clear()

    def _unsubscribe(self, state: EndpointState) -> None:
        workspace = self._index.get(state.workspace_id)
        if workspace is None:
            return
        for name in self._types(state):
            subscribers = workspace.by_type.get(name)
            if subscribers is not None:
                subscribers.pop(state.id, None)
                if not subscribers:
                    del workspace.by_type[name]
        workspace.matched.clear()
        if not workspace.by_type:
            del self._index[state.workspace_id]
