"""An entry of the audit log for each call that changes something.

A route says in ``opt[AUDIT]`` what it does, such as ``webhook.create``. ``intend`` runs after the
caller was let in and before the body is read: it stores the entry, without an outcome, or the call
ends there with 503. ``settle`` runs when the answer is made and before it is sent: it completes the
entry. So a change cannot be without an entry, however the gateway ends
(``docs/decisions/0022-audit-log.md``).

``X-Request-Id`` is the caller's, or made here; the answer has it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Message, Scope

from services.gateway.audit import OBJECT_LENGTH_MAX, Trail, masked
from services.gateway.auth import Caller
from services.gateway.ports import Ports
from services.gateway.sources import Networks, source_of
from shared.models import ids
from shared.models.audit import Actor, Entry, Outcome
from shared.models.errors import Outage

AUDIT: Final = "audit"
REQUEST_ID_HEADER: Final = "X-Request-Id"
REQUEST_ID_LENGTH_MAX: Final = 128
REPLAYED_HEADER: Final = "Idempotent-Replayed"
_PENDING: Final = "audit"

_log = structlog.get_logger("gateway")


class Pending(msgspec.Struct, frozen=True):
    """An entry that waits for its outcome."""

    ports: Ports
    entry: Entry
    trail: Trail


async def intend(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Store the entry of a call that says what it changes; raises Outage."""
    action: str | None = handler.opt.get(AUDIT)
    if action is None:
        return
    caller: Caller = connection.scope["auth"]
    await begin(connection, action, caller.workspace_id, caller.actor, caller.trail)


async def begin(
    connection: ASGIConnection[Any, Any, Any, Any],
    action: str,
    workspace_id: str,
    actor: Actor,
    trail: Trail,
) -> None:
    """Store an entry; ``settle`` completes it with what ``trail`` is told. Raises Outage."""
    ports: Ports = connection.app.state.ports
    proxies: Networks = connection.app.state.proxies
    peer = None if connection.client is None else connection.client.host
    named = next(iter(connection.path_params.values()), None)
    entry = masked(
        new_entry(
            ports,
            workspace_id=workspace_id,
            actor=actor,
            action=action,
            object_id=None if named is None else str(named)[:OBJECT_LENGTH_MAX],
            request_id=_request_id(ports, connection.headers.get(REQUEST_ID_HEADER)),
            address=source_of(peer, connection.headers.getall("x-forwarded-for", []), proxies),
        )
    )
    await ports.audit.begin(entry)
    connection.scope["state"][_PENDING] = Pending(ports, entry, trail)


async def settle(message: Message, scope: Scope) -> None:
    """Complete the entry of an answer that is about to be sent, and put its request id into it.

    Nothing is raised: what was done is done, and its entry says that its outcome is not known.
    """
    if message["type"] != "http.response.start" or _PENDING not in scope["state"]:
        return
    pending: Pending = scope["state"].pop(_PENDING)
    headers = list(message["headers"])
    status = message["status"]
    entry = masked(
        msgspec.structs.replace(
            pending.entry,
            object_id=pending.entry.object_id or pending.trail.object_id,
            outcome=_outcome(status, headers),
            status=status,
            changes=pending.trail.changes,
        )
    )
    message["headers"] = [*headers, _header(REQUEST_ID_HEADER, entry.request_id or "")]
    await settled(pending.ports, entry)


async def settled(ports: Ports, entry: Entry) -> None:
    """Store an entry's outcome; whatever stops that is logged, since the change is done."""
    try:
        await ports.audit.settle(entry)
    except Exception as error:
        reason = str(error) if isinstance(error, Outage) else type(error).__name__
        _log.error("audit_outcome_lost", entry=entry.id, outcome=entry.outcome, reason=reason)


def new_entry(ports: Ports, **known: Any) -> Entry:
    """Return an entry of now; ``known`` are its fields besides its id and time."""
    now_ms = ports.now_ms()
    identifier = ids.new_id(ids.AUDIT, now_ms, ports.entropy(ids.ENTROPY_BYTES))
    return Entry(id=identifier, time_ms=now_ms, **known)


def _request_id(ports: Ports, given: str | None) -> str:
    if given and len(given) <= REQUEST_ID_LENGTH_MAX and ids.is_visible_ascii(given):
        return given
    return ids.new_id("req", ports.now_ms(), ports.entropy(ids.ENTROPY_BYTES))


def _outcome(status: int, headers: Iterable[tuple[bytes, bytes]]) -> Outcome:
    """Return what an answer says; after 5xx the change may have been made."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "failed"
    if status >= HTTPStatus.BAD_REQUEST:
        return "refused"
    replayed = REPLAYED_HEADER.lower().encode()
    return "repeated" if any(name.lower() == replayed for name, _ in headers) else "succeeded"


def _header(name: str, value: str) -> tuple[bytes, bytes]:
    return name.lower().encode(), value.encode()
