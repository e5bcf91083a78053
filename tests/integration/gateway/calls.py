"""Every call of the API: the scope it needs, what it is sent, and which things it may name.

The tables here are compared with the OpenAPI document (``test_access.py``): a route, parameter or
field that is new and not in them fails the build, with a message that says what to add. What a
table gives for a name is how a value is taken from the ``Belongings`` of a workspace, so that each
place where a caller can name a thing is tried with the things of another workspace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from services.gateway import auth
from services.gateway.cursors import encode_cursor

METHODS: Final = ("get", "put", "post", "patch", "delete")
MARK: Final = "hush-7f3"
"""In every text that the things of a workspace hold; no answer to another one may have it."""


class Belongings(NamedTuple):
    """What a workspace has and calls can name; ``absent`` makes the same of things nobody has."""

    webhook: str
    delivery: str
    event: str
    event_type: str
    rejected: str
    job: str
    retry: str
    api_key: str
    entry: str
    idempotency_key: str
    workspace: str
    webhooks_cursor: str
    deliveries_cursor: str
    rejected_cursor: str
    jobs_cursor: str
    api_keys_cursor: str
    audit_cursor: str


Name = Callable[[Belongings], object]


class Call(NamedTuple):
    """``scope`` is None for a call that needs no credential, or the operator's; ``body`` is right.

    The cross-tenant tests are about callers of workspaces; the operator sees all of them.
    """

    scope: str | None
    body: object = None
    token_only: bool = False
    operator: bool = False


WEBHOOK: Final = {"url": "https://example.com/hook", "events": ["*"]}
EVENT: Final = {"type": "qr.scanned", "data": {}}
RECOVERY: Final = {"since": "2026-03-15T10:00:00Z"}
REPLAY: Final = {"since": "2026-03-15T10:00:00Z", "rate": 10}
API_KEY: Final = {"name": "x", "scopes": [auth.KEYS_WRITE]}
"""Whoever may make keys may make this one."""

CLOUD_EVENT: Final = {**EVENT, "specversion": "1.0", "id": "1", "source": "/shop"}
CLOUD_TYPE: Final = "application/cloudevents+json"
CLOUD_BATCH_TYPE: Final = "application/cloudevents-batch+json"

_READ: Final = Call(auth.WEBHOOKS_READ)
_WRITE: Final = Call(auth.WEBHOOKS_WRITE)
_COMMON: Final = {
    "GET /webhooks": _READ,
    "GET /webhooks/{webhook_id}": _READ,
    "PATCH /webhooks/{webhook_id}": Call(auth.WEBHOOKS_WRITE, {"description": "x"}),
    "DELETE /webhooks/{webhook_id}": _WRITE,
    "POST /webhooks": Call(auth.WEBHOOKS_WRITE, WEBHOOK),
    "POST /webhooks/{webhook_id}/pause": _WRITE,
    "POST /webhooks/{webhook_id}/resume": _WRITE,
    "GET /webhooks/{webhook_id}/deliveries": Call(auth.DELIVERIES_READ),
    "GET /webhooks/{webhook_id}/deliveries/{delivery_id}": Call(auth.DELIVERIES_READ),
}
_NATIVE: Final = {
    "GET /webhooks/{webhook_id}/secret": Call(auth.SECRETS_READ),
    "POST /webhooks/{webhook_id}/secret/rotate": Call(auth.WEBHOOKS_WRITE, {"overlap_s": 60}),
    "POST /webhooks/{webhook_id}/ping": _WRITE,
    "POST /webhooks/{webhook_id}/match": Call(auth.WEBHOOKS_READ, EVENT),
    "GET /event-types": _READ,
    "GET /event-types/{event_type}": _READ,
    "POST /event-types": Call(auth.WEBHOOKS_WRITE, {"type": "order.placed"}),
    "PATCH /event-types/{event_type}": Call(auth.WEBHOOKS_WRITE, {"deprecated": True}),
    "POST /webhooks/{webhook_id}/recover": Call(auth.WEBHOOKS_WRITE, RECOVERY),
    "GET /deliveries": Call(auth.DELIVERIES_READ),
    "GET /events/{event_id}": Call(auth.DELIVERIES_READ),
    "POST /deliveries/{delivery_id}/resend": _WRITE,
    "POST /webhooks/{webhook_id}/deliveries/{delivery_id}/resend": _WRITE,
    "POST /replays": Call(auth.WEBHOOKS_WRITE, REPLAY),
    "POST /replays/preview": Call(auth.DELIVERIES_READ, REPLAY),
    "GET /jobs": Call(auth.DELIVERIES_READ),
    "GET /stats": Call(auth.DELIVERIES_READ),
    "GET /webhooks/{webhook_id}/stats": Call(auth.DELIVERIES_READ),
    "POST /events/{event_id}/erase": Call(auth.EVENTS_ERASE),
    "GET /workspace": Call(auth.WORKSPACE_READ),
    "PATCH /workspace": Call(auth.WORKSPACE_WRITE, {"retention_days": 7}),
    "GET /jobs/{job_id}": Call(auth.DELIVERIES_READ),
    "POST /jobs/{job_id}/pause": _WRITE,
    "POST /jobs/{job_id}/resume": _WRITE,
    "POST /jobs/{job_id}/cancel": _WRITE,
    "GET /retries": Call(auth.DELIVERIES_READ),
    "POST /retries/{retry_id}/discard": _WRITE,
    "POST /webhooks/{webhook_id}/retries/discard": _WRITE,
    "GET /rejected-events": Call(auth.EVENTS_READ),
    "GET /rejected-events/{rejected_id}": Call(auth.EVENTS_READ),
    "POST /rejected-events/{rejected_id}/resubmit": Call(auth.EVENTS_WRITE, EVENT),
    "DELETE /rejected-events/{rejected_id}": Call(auth.EVENTS_WRITE),
    "GET /api-keys": Call(auth.KEYS_READ),
    "GET /api-keys/{key_id}": Call(auth.KEYS_READ),
    "POST /api-keys": Call(auth.KEYS_WRITE, API_KEY),
    "PATCH /api-keys/{key_id}": Call(auth.KEYS_WRITE, {"name": "y"}),
    "DELETE /api-keys/{key_id}": Call(auth.KEYS_WRITE),
    "POST /api-keys/{key_id}/rotate": Call(auth.KEYS_WRITE, {"overlap_s": 60}),
    "GET /audit-log": Call(auth.AUDIT_READ),
    "POST /events": Call(auth.EVENTS_WRITE, EVENT),
    "POST /events/batch": Call(auth.EVENTS_WRITE, [EVENT]),
}
_DEVELOPER: Final = {
    "GET /webhooks/{webhook_id}/secret": Call(auth.SECRETS_READ, token_only=True),
    "POST /webhooks/{webhook_id}/secret/rotate": Call(
        auth.WEBHOOKS_WRITE, {"overlap_s": 60}, token_only=True
    ),
    "POST /webhooks/{webhook_id}/test": Call(auth.WEBHOOKS_WRITE, token_only=True),
}
_OPERATOR: Final = {
    "GET /workspaces": Call(None, operator=True),
    "POST /workspaces": Call(None, {"name": "x", "profile": "qr3"}, operator=True),
    "GET /workspaces/{workspace_id}": Call(None, operator=True),
    "PATCH /workspaces/{workspace_id}": Call(None, {"name": "x"}, operator=True),
    "DELETE /workspaces/{workspace_id}": Call(None, operator=True),
    "GET /workspaces/{workspace_id}/deletion": Call(None, operator=True),
    "POST /workspaces/{workspace_id}/suspend": Call(None, operator=True),
    "POST /workspaces/{workspace_id}/resume": Call(None, operator=True),
    "POST /workspaces/{workspace_id}/api-keys": Call(None, {}, operator=True),
    "DELETE /workspaces/{workspace_id}/api-keys/{hint}": Call(None, operator=True),
}


def _below(prefix: str, calls: Mapping[str, Call]) -> dict[str, Call]:
    return {name.replace(" ", f" {prefix}", 1): call for name, call in calls.items()}


CALLS: Final[Mapping[str, Call]] = {
    **_below("/v1", _COMMON | _NATIVE),
    **_below("/api/v1", _COMMON),
    **_below("/api/developer", _DEVELOPER),
    **_below("/v1/operator", _OPERATOR),
    "GET /.well-known/webhooks/{webhook_id}/jwks.json": Call(None),
    "GET /errors": Call(None),
    "GET /health/live": Call(None),
    "GET /health/ready": Call(None),
    "GET /metrics": Call(None),
    "GET /version": Call(None),
}

PATH: Final[Mapping[str, Name]] = {
    "webhook_id": lambda its: its.webhook,
    "delivery_id": lambda its: its.delivery,
    "event_type": lambda its: its.event_type,
    "event_id": lambda its: its.event,
    "job_id": lambda its: its.job,
    "key_id": lambda its: its.api_key,
    "rejected_id": lambda its: its.rejected,
    "retry_id": lambda its: its.retry,
    "workspace_id": lambda its: its.workspace,
    "hint": lambda _: "hk_00000",
}
CURSORS: Final[Mapping[str, Name]] = {
    "GET /v1/webhooks": lambda its: its.webhooks_cursor,
    "GET /api/v1/webhooks": lambda its: its.webhooks_cursor,
    "GET /v1/webhooks/{webhook_id}/deliveries": lambda its: its.deliveries_cursor,
    "GET /api/v1/webhooks/{webhook_id}/deliveries": lambda its: its.deliveries_cursor,
    "GET /v1/deliveries": lambda its: its.deliveries_cursor,
    "GET /v1/events/{event_id}": lambda its: its.deliveries_cursor,
    "GET /v1/retries": lambda its: its.deliveries_cursor,
    "GET /v1/rejected-events": lambda its: its.rejected_cursor,
    "GET /v1/jobs": lambda its: its.jobs_cursor,
    "GET /v1/api-keys": lambda its: its.api_keys_cursor,
    "GET /v1/audit-log": lambda its: its.audit_cursor,
    "GET /v1/operator/workspaces": lambda its: encode_cursor(its.workspace),
}
OTHERS: Final[Mapping[str, Name]] = {
    "event_id": lambda its: its.event,
    "event_type": lambda its: its.event_type,
    "webhook_id": lambda its: its.webhook,
    "actor": lambda its: its.api_key,
    "object": lambda its: its.webhook,
    "Idempotency-Key": lambda its: its.idempotency_key,
}
"""Parameters of the query and headers that name something, besides cursors."""
FIELDS: Final[Mapping[str, Name]] = {
    "aliases": lambda its: [its.event_type],
    "event_ids": lambda its: [its.event],
    "event_types": lambda its: [its.event_type],
    "events": lambda its: [its.event_type],
    "id": lambda its: its.event,
    "source": lambda its: its.workspace,
    "to_webhook_id": lambda its: its.webhook,
    "type": lambda its: its.event_type,
    "webhook_id": lambda its: its.webhook,
}
"""Fields of bodies that name something; in a batch, those of its events."""
UNDOCUMENTED: Final[Mapping[str, Name]] = {
    "workspace_id": lambda its: its.workspace,
    "workspaceid": lambda its: its.workspace,
}
"""Fields that events have on Kafka, where producers are trusted; here they must do nothing."""

PLAIN_PARAMETERS: Final = {
    *("If-Match", "action", "bucket", "group_by", "limit", "metadata", "search", "since", "state"),
    "status",
    *("status_code", "until"),
}
PLAIN_FIELDS: Final = {
    *("archived", "channels", "concurrency", "created", "data", "data_base64", "datacontenttype"),
    *("deprecated", "description", "example", "expires_at", "filter", "headers", "is_active"),
    *("limits", "metadata", "name", "overlap_s", "payload_format", "profile", "rate"),
    *("rate_limit", "retention_days", "retry_delays", "role", "scopes", "secret", "signature"),
    *("since", "specversion", "status", "success_codes", "time", "timeout_ms", "until", "url"),
}
"""What names nothing that belongs to a workspace."""


class Operation(NamedTuple):
    """An operation of the document: ``name`` is its method and path."""

    name: str
    path: tuple[str, ...]
    others: tuple[tuple[str, str], ...]
    fields: tuple[str, ...]
    media_types: tuple[str, ...]

    @property
    def method(self) -> str:
        """Return the HTTP method."""
        return self.name.partition(" ")[0]

    @property
    def call(self) -> Call:
        """Return what is known of it here."""
        return CALLS[self.name]

    @property
    def takes_events(self) -> bool:
        """Return whether its body is an event, or events."""
        return any("cloudevents" in media_type for media_type in self.media_types)

    def at(self, names: Mapping[str, object]) -> str:
        """Return the path with these values for its parameters."""
        return self.name.partition(" ")[2].format_map(names)


def operations(document: dict[str, Any]) -> list[Operation]:
    """Return every operation of an OpenAPI document, what ends things last."""
    found = [
        Operation(
            f"{method.upper()} {path}",
            tuple(name for where, name in parameters if where == "path"),
            tuple((where, name) for where, name in parameters if where != "path"),
            tuple(sorted(set(_fields(document, operation)))),
            tuple(operation.get("requestBody", {}).get("content", ())),
        )
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
        for parameters in [[(one["in"], one["name"]) for one in operation.get("parameters", ())]]
    ]
    return sorted(found, key=lambda operation: operation.method == "DELETE")


def _fields(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[str]:
    content = operation.get("requestBody", {}).get("content", {})
    for media in content.values():
        schema = media["schema"]
        schema = schema.get("items", schema)
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        yield from schema.get("properties", ())


def what_is_missing(found: list[Operation]) -> list[str]:
    """Return what the tables above lack for these operations, each with what to do. Pure."""
    missing = [
        f"{one.name} is new: add it to CALLS, with the scope it needs and a body that is right"
        for one in found
        if one.name not in CALLS
    ]
    for one in found:
        missing += [
            f"{one.name}: its path names {name!r}: add to PATH how it is taken from Belongings"
            for name in one.path
            if name not in PATH
        ]
        missing += [
            f"{one.name}: its {where} {name!r} is new: add it to OTHERS (cursors: to CURSORS) if "
            "it names a thing of the workspace, else to PLAIN_PARAMETERS"
            for where, name in one.others
            if not (name in OTHERS or name in PLAIN_PARAMETERS)
            and not (name == "cursor" and one.name in CURSORS)
        ]
        missing += [
            f"{one.name}: the field {name!r} of its body is new: add it to FIELDS if it names a "
            "thing of the workspace, else to PLAIN_FIELDS"
            for name in one.fields
            if name not in FIELDS and name not in PLAIN_FIELDS
        ]
    names = {one.name for one in found}
    missing += [f"{name} is served no more: take it out of CALLS" for name in CALLS.keys() - names]
    return [f"{line} (tests/integration/gateway/calls.py)" for line in missing]
