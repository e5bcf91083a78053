"""The audit log: who changed what in a workspace, from where, and what came of it.

An entry is written twice at most: as the intent, before anything is done, and once more with its
outcome. So a change without an entry cannot be; an entry whose outcome stays ``unknown`` says that
its gateway died meanwhile, and that the change may have been made. Nothing else changes an entry.
Times are Unix milliseconds. Pure.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

ActorKind = Literal["api_key", "token", "operator"]
Outcome = Literal["unknown", "succeeded", "repeated", "refused", "failed"]


class Actor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who acts: ``id`` is an API key's id, or the subject (``sub``) of a token where it has one.

    ``name`` is the beginning of an API key.
    """

    kind: ActorKind
    id: str | None = None
    name: str | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A field that was changed. Values are there unless ``withheld``: secret, or too long."""

    field: str
    before: Any = None
    after: Any = None
    withheld: bool = False


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the audit log. ``status`` is that of the answer; ``address`` the caller's."""

    id: str
    workspace_id: str
    time_ms: int
    actor: Actor
    action: str
    object_id: str | None = None
    request_id: str | None = None
    address: str | None = None
    outcome: Outcome = "unknown"
    status: int | None = None
    changes: tuple[Change, ...] = ()


class EntryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries somebody looks for; None stands for any. ``until_ms`` is exclusive."""

    actor: str | None = None
    action: str | None = None
    object_id: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


ALL_ENTRIES: Final = EntryFilter()
