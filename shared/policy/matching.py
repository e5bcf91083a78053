"""Which endpoints get an event: an index over the registry, kept up to date one change at a time.

The registry is the in-memory state of the ``endpoints`` topic. Matching cost does not depend on
other workspaces' endpoints: workspace, then canonical type, then a tuple that is put together once
and kept until an endpoint of that workspace changes. An endpoint that subscribed to a type, its
alias and ``*`` is matched once. Pure: no I/O; whoever reads the topic calls ``apply``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared.models.endpoints import EndpointState, TypeNames, WorkspaceState, decode_state
from shared.profiles.profile import ALL_EVENTS, Profile

TYPES_REMEMBERED_MAX: Final = 4_096

_NOBODY: Final[tuple[EndpointState, ...]] = ()


def names_of(profile: Profile, event_type: str) -> tuple[str, ...]:
    """Return every name by which an endpoint of ``profile`` can be subscribed to a type."""
    canonical = profile.canonical(event_type)
    aliases = (alias for alias, target in profile.events.aliases.items() if target == canonical)
    return (canonical, *aliases, ALL_EVENTS)


class _Workspace:
    """The active subscriptions of one workspace."""

    __slots__ = ("by_type", "matched")

    def __init__(self) -> None:
        self.by_type: dict[str, dict[str, EndpointState]] = {}
        self.matched: dict[str, tuple[EndpointState, ...]] = {}


class Registry:
    """Endpoints and workspaces by id, with the match index. Not thread-safe; one loop owns it."""

    def __init__(self, profiles: Mapping[str, Profile]) -> None:
        self._profiles = profiles
        self._index: dict[str, _Workspace] = {}
        self.endpoints: dict[str, EndpointState] = {}
        self.workspaces: dict[str, WorkspaceState] = {}
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
        if known is not None:
            self._unsubscribe(known)
        self.endpoints[key] = state
        if state.active:
            self._subscribe(state)

    def match(self, workspace_id: str, event_type: str) -> tuple[EndpointState, ...]:
        """Return the active endpoints that get an event of this canonical type, each once."""
        workspace = self._index.get(workspace_id)
        if workspace is None:
            return _NOBODY
        found = workspace.matched.get(event_type)
        if found is None:
            exact = workspace.by_type.get(event_type, {})
            everything = workspace.by_type.get(ALL_EVENTS, {})
            found = tuple({**exact, **everything}.values())
            if len(workspace.matched) >= TYPES_REMEMBERED_MAX:
                workspace.matched.clear()  # an open catalogue lets producers invent types
            workspace.matched[event_type] = found
        return found

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
        known = self.endpoints.pop(key, None)
        if known is not None:
            self._unsubscribe(known)

    def _types(self, state: EndpointState) -> set[str]:
        profile = self._extended.get(state.workspace_id) or self._profiles.get(state.profile)
        if profile is None:
            return set(state.events)
        return {profile.canonical(name) for name in state.events}

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
