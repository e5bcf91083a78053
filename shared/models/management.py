"""What the management API stores: workspaces, the API keys of their members, endpoints.

These are the records of the source of truth; ``models.endpoints`` holds what the other services
need of them. ``state`` makes one from the other. Times are Unix milliseconds.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from shared.models.endpoints import (
    EarlierSecret,
    EndpointState,
    PayloadFormat,
    TypeNames,
    WorkspaceState,
)
from shared.models.limits import NO_LIMITS, WorkspaceLimits

EndpointStatus = Literal["active", "paused", "disabled"]
WorkspaceStanding = Literal["active", "suspended", "deleting"]


class OwnType(msgspec.Struct, frozen=True, kw_only=True):
    """An event type that a workspace has made. ``example`` is a JSON object as text.

    A ``deprecated`` one works as before; people should not begin to use it.
    """

    name: str
    aliases: tuple[str, ...] = ()
    archived: bool = False
    description: str = ""
    example: str | None = None
    deprecated: bool = False


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant. Its profile never changes: endpoints and receivers rely on it.

    ``retention_days`` is how long its delivery log is kept, None as long as the deployment does.
    ``suspended_ms`` is since when nothing is taken from it and nothing sent for it, because the
    operator wants that; ``deleting_ms`` since when it is being deleted, which suspends it too.
    """

    id: str
    name: str
    profile: str
    created_ms: int
    revision: int = 1
    deleted: bool = False
    types: tuple[OwnType, ...] = ()
    retention_days: int | None = None
    updated_ms: int | None = None
    limits: WorkspaceLimits = NO_LIMITS
    suspended_ms: int | None = None
    deleting_ms: int | None = None

    @property
    def standing(self) -> WorkspaceStanding:
        """Return whether it takes part."""
        if self.deleting_ms is not None:
            return "deleting"
        return "active" if self.suspended_ms is None else "suspended"

    def type_names(self) -> tuple[TypeNames, ...]:
        """Return what matching needs of the workspace's own event types."""
        return tuple(TypeNames(one.name, one.aliases, one.archived) for one in self.types)

    def state(self) -> WorkspaceState | None:
        """Return what the ``endpoints`` topic says of this workspace; None is a tombstone."""
        if self.deleted:
            return None
        return WorkspaceState(
            id=self.id,
            profile=self.profile,
            name=self.name,
            revision=self.revision,
            types=self.type_names(),
            suspended=self.standing != "active",
        )


class EarlierKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a rotation replaced: it opens the workspace too, until ``until_ms``."""

    digest: str
    hint: str
    until_ms: int


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key as stored: ``digest`` is the SHA-256 (hex) of the key, which itself is nowhere.

    ``hint`` is the key's beginning, for people to tell their keys apart. A key with a ``role`` may
    do what the role may, whatever ``scopes`` says. ``earlier`` is what it was before its rotations,
    newest first. ``last_used_ms`` is some minutes behind.
    """

    digest: str
    hint: str
    workspace_id: str
    scopes: tuple[str, ...]
    created_ms: int
    name: str = ""
    id: str = ""
    role: str | None = None
    expires_ms: int | None = None
    last_used_ms: int | None = None
    earlier: tuple[EarlierKey, ...] = ()
    revision: int = 1
    revoked_ms: int | None = None

    def ended_ms(self, digest: str, now_ms: int) -> int | None:
        """Return since when this digest opens nothing any more, None while it opens."""
        ends = [self.revoked_ms, self.expires_ms]
        if digest != self.digest:
            ends += [next((old.until_ms for old in self.earlier if old.digest == digest), 0)]
        over = [end for end in ends if end is not None and end <= now_ms]
        return min(over, default=None)


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as stored. ``secret`` is sealed; ``secret_hint`` is what may be shown of it.

    ``public_key`` belongs to a secret that is a private key, and is for everybody. ``earlier`` are
    the secrets that it had before, newest first, some of which may be over.

    What ``EndpointState`` has is here under the same name. ``deleted`` endpoints are kept for a
    while so that their tombstone is the last record on the topic; no list and no read shows them.
    """

    id: str
    workspace_id: str
    profile: str
    url: str
    events: tuple[str, ...]
    secret: str
    secret_hint: str
    created_ms: int
    updated_ms: int
    description: str | None = None
    active: bool = True
    disabled_reason: str | None = None
    revision: int = 1
    epoch: int = 1
    public_key: str | None = None
    earlier: tuple[EarlierSecret, ...] = ()
    deleted: bool = False
    concurrency: int | None = None
    rate_limit: float | None = None
    headers: tuple[tuple[str, str], ...] = ()
    paused_ms: int | None = None
    retry_delays: tuple[str, ...] | None = None
    timeout_ms: int | None = None
    success_codes: tuple[str | int, ...] | None = None
    payload_format: PayloadFormat = "profile"
    channels: tuple[str, ...] = ()
    filter: str | None = None
    retries_discarded_ms: int | None = None
    discarded_retries: tuple[str, ...] = ()
    metadata: dict[str, str] = {}

    def state(self) -> EndpointState | None:
        """Return what the ``endpoints`` topic says of this endpoint; None is a tombstone."""
        if self.deleted:
            return None
        return EndpointState(
            **{name: getattr(self, name) for name in EndpointState.__struct_fields__}
        )


class EndpointFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which endpoints of a workspace a list shows; None stands for any.

    ``names`` are subscriptions of which the endpoint has at least one, ``text`` is part of its URL
    or its description in whatever case, ``metadata`` is contained in its own.
    """

    status: EndpointStatus | None = None
    names: tuple[str, ...] | None = None
    text: str | None = None
    metadata: dict[str, str] = {}


ALL_ENDPOINTS: Final = EndpointFilter()
