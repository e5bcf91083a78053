"""What the ``endpoints`` topic holds: the state of endpoints and of the workspaces they belong to.

The topic is compacted and read whole by every service that needs endpoints. Its key is the id; the
prefix says what the value is (``wh_`` an endpoint, ``ws_`` a workspace); no value (a tombstone)
means deleted. Workspaces travel with the endpoints because fan-out must know a workspace's profile
before its first endpoint exists, and tell an unknown workspace from an empty one.

New fields have defaults: old bytes decode with new code. What an endpoint leaves to its default is
not written, as every service reads every state at its start; so a default never changes.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from shared.models import ids, wire

PayloadFormat = Literal["profile", "standard", "cloudevents"]

MASK: Final = "********"
"""What stands for the value of a custom header wherever people can see it."""


class TypeNames(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event type of a workspace's own, besides those of its profile, as matching needs it.

    An ``archived`` one is over: no event of it is taken and nobody can subscribe to it any more.
    """

    name: str
    aliases: tuple[str, ...] = ()
    archived: bool = False


class WorkspaceState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A workspace (tenant). ``revision`` grows with each change.

    Nothing is sent for a ``suspended`` one: what becomes due is discarded with that reason.
    """

    id: str
    profile: str
    name: str = ""
    revision: int = 1
    types: tuple[TypeNames, ...] = ()
    suspended: bool = False


class EarlierSecret(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A secret that was replaced: it signs beside the new one until ``until_ms`` (Unix time).

    ``secret`` is encrypted; ``public_key`` belongs to one that is a private key.
    """

    secret: str
    until_ms: int
    public_key: str | None = None


class EndpointState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An endpoint as fan-out and delivery need it.

    ``secret`` is encrypted (``shared.signing.keyring``), and so are those of ``earlier``, newest
    first; some of them may be over. ``events`` holds the names as subscribed, aliases included.
    ``epoch`` counts how often the endpoint was enabled: failures of an earlier epoch do not count
    against it. ``revision`` grows with each change; readers keep the highest.
    ``concurrency`` is how many requests may be in flight, ``rate_limit`` how many may start in a
    second; None leaves both to the worker. ``headers`` are sent with every request: names with
    values that are encrypted like the secret. ``paused_ms`` is since when nothing is sent because
    somebody asked for that, whatever ``active`` says.

    Which events it gets: those of the types in ``events``; with ``channels`` only those that are
    on one of them, with a ``filter`` (``shared.policy.filters``, as JSON) only what that lets pass.

    How deliveries are made: ``retry_delays`` (names of tiers), ``timeout_ms`` (of one attempt) and
    ``success_codes`` (``2xx``, 302) are the profile's where they are None.

    Which retries are not wanted any more: those of attempts that ended up to
    ``retries_discarded_ms``, and those whose rows in the log would have the ids
    ``discarded_retries``. They are discarded when they become due.
    """

    id: str
    workspace_id: str
    profile: str
    url: str
    events: tuple[str, ...]
    secret: str
    active: bool = True
    disabled_reason: str | None = None
    revision: int = 1
    epoch: int = 1
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
    earlier: tuple[EarlierSecret, ...] = ()
    retries_discarded_ms: int | None = None
    discarded_retries: tuple[str, ...] = ()


def header_context(endpoint_id: str, name: str) -> str:
    """Return what a custom header's value is sealed for: this endpoint, and this header of it."""
    return f"{endpoint_id}/{name.lower()}"


_encoder = msgspec.json.Encoder()
_endpoint_decoder = msgspec.json.Decoder(EndpointState)
_workspace_decoder = msgspec.json.Decoder(WorkspaceState)


def encode_state(state: EndpointState | WorkspaceState) -> bytes:
    """Return the record's value: JSON."""
    return _encoder.encode(state)


def decode_state(key: str, value: bytes) -> EndpointState | WorkspaceState:
    """Return the state that ``value`` holds; the key's prefix says which kind.

    Raises msgspec.DecodeError for bytes that are neither, and for a state of another key.
    """
    state: EndpointState | WorkspaceState
    if key.startswith(f"{ids.WORKSPACE}_"):
        state = wire.decode(_workspace_decoder, value)
    else:
        state = wire.decode(_endpoint_decoder, value)
    if state.id != key:
        raise msgspec.DecodeError(f"the state of {state.id!r} has the key {key!r}")
    return state
