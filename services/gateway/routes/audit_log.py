"""The route of the audit log."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import get
from litestar.params import QueryParameter
from msgspec import UNSET

from services.gateway.auth import AUDIT_READ
from services.gateway.cursors import decode_cursor, encode_cursor
from services.gateway.guards import QUERY, SCOPE
from services.gateway.key_schemas import AuditActor, AuditChange, AuditEntry, AuditEntryList
from services.gateway.openapi import errors
from services.gateway.ports import Ports
from services.gateway.requests import ApiRequest
from services.gateway.routes.endpoints import Cursor, Limit
from services.gateway.schemas import LIMIT_DEFAULT
from services.gateway.times import time_of
from shared.models import ids
from shared.models.audit import Entry, EntryFilter
from shared.models.times import iso_ms

_FILTERS: Final = ("actor", "action", "object", "since", "until")

ActorFilter = Annotated[
    str | None, QueryParameter(description="Only of this actor: a key's id, a token's subject.")
]
ActionFilter = Annotated[
    str | None, QueryParameter(description="Only this action, such as `webhook.update`.")
]
ObjectFilter = Annotated[
    str | None,
    QueryParameter(name="object", description="Only about this: an id, or an event type."),
]
Since = Annotated[str | None, QueryParameter(description="Only from this time on (RFC 3339).")]
Until = Annotated[str | None, QueryParameter(description="Only before this time (RFC 3339).")]


def audit_entry_of(entry: Entry) -> AuditEntry:
    """Return what is shown of an entry. Pure."""
    return AuditEntry(
        id=entry.id,
        time=iso_ms(entry.time_ms),
        actor=AuditActor(type=entry.actor.kind, id=entry.actor.id, prefix=entry.actor.name),
        action=entry.action,
        object=entry.object_id,
        changes=[
            AuditChange(
                field=change.field,
                before=UNSET if change.withheld else change.before,
                after=UNSET if change.withheld else change.after,
            )
            for change in entry.changes
        ],
        outcome=entry.outcome,
        status=entry.status,
        request_id=entry.request_id,
        source_address=entry.address,
    )


@get(
    "/audit-log",
    tags=["Audit log"],
    summary="List the audit log",
    description="Every change that was asked for through the API, by whom, from where, and what "
    "came of it; newest first. Filters narrow the list together.",
    opt={SCOPE: AUDIT_READ, QUERY: ("limit", "cursor", *_FILTERS)},
    responses=errors(),
)
async def list_entries(
    request: ApiRequest,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
    *,
    actor: ActorFilter = None,
    action: ActionFilter = None,
    object_id: ObjectFilter = None,
    since: Since = None,
    until: Until = None,
) -> AuditEntryList:
    """List."""
    ports: Ports = request.app.state.ports
    chosen = EntryFilter(
        actor=actor,
        action=action,
        object_id=object_id,
        since_ms=time_of("since", since),
        until_ms=time_of("until", until),
    )
    before = None if cursor is None else decode_cursor(cursor, ids.AUDIT)
    found = await ports.audit.page(
        request.auth.workspace_id, limit=limit + 1, before=before, chosen=chosen
    )
    shown = found[:limit]
    return AuditEntryList(
        data=[audit_entry_of(entry) for entry in shown],
        next_cursor=encode_cursor(shown[-1].id) if len(found) > limit else None,
    )


NATIVE: Final = (list_entries,)
