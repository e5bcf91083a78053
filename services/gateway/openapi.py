"""The OpenAPI document: what Litestar cannot tell from the routes' types.

Litestar's documentation pages load scripts from a CDN, so only the document itself is served.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from litestar import Router
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
    SecurityScheme,
    Server,
)

from services.gateway.errors import PROBLEM_JSON, Problem
from services.gateway.openapi_names import operation_id
from services.gateway.openapi_shapes import NamedShapesConfig
from shared.models.events import CHANNEL_LENGTH_MAX, CHANNELS_MAX

SECURITY: Final = [{"apiKey": list[str]()}, {"token": list[str]()}]
TOKEN_SECURITY: Final = [{"token": list[str]()}]
PUBLIC: Final[list[dict[str, list[str]]]] = [{}]

_ERRORS: Final = {
    400: "The request is wrong; `errors` names each field and its fix.",
    401: "No credential, or one that is not valid.",
    403: "The credential, or the workspace, may not do this.",
    404: "The workspace has no such thing.",
    408: "The body did not arrive in time.",
    409: "The state of the thing, or an `Idempotency-Key` that was used, does not allow it.",
    412: "The ETag is not the one in `If-Match`: somebody has changed it meanwhile.",
    413: "The request is too large.",
    415: "The Content-Type is not one that this call reads.",
    422: "The event cannot be delivered as it is; the reason is that of `events.rejected`.",
    429: "A limit of the workspace is used up; `limit` names it, `Retry-After` says for how long.",
    503: "A dependency does not answer; try again after `Retry-After` seconds.",
}

_COMMON_ERRORS: Final = (400, 401, 403, 429, 503)
_OPERATOR_ERRORS: Final = (400, 401, 503)

_DESCRIPTION: Final = """\
Hooklane delivers webhooks: publish an event, and every webhook that subscribed to its type gets it,
signed, retried and logged.

Errors are `application/problem+json` (RFC 9457). Lists are newest first and take `limit` and
`cursor`. Times are RFC 3339 in UTC with milliseconds.
"""

_STRING_OR_NULL: Final = [OpenAPIType.STRING, OpenAPIType.NULL]
"""Of members of events that may be absent: null is the same."""

_EVENT_SCHEMA: Final = Schema(
    type=OpenAPIType.OBJECT,
    title="Event",
    required=["type", "data"],
    properties={
        "type": Schema(type=OpenAPIType.STRING, description="An event type or an alias of one."),
        "data": Schema(type=OpenAPIType.OBJECT, description="What happened."),
        "id": Schema(
            type=_STRING_OR_NULL,
            min_length=1,
            max_length=128,
            description="Visible ASCII; generated when absent. With an id of your own, a repeat "
            "after an unclear answer is recognised as the same event.",
        ),
        "created": Schema(
            type=_STRING_OR_NULL, description="RFC 3339; the time of the call when absent."
        ),
        "channels": Schema(
            type=[OpenAPIType.ARRAY, OpenAPIType.NULL],
            items=Schema(type=OpenAPIType.STRING, min_length=1, max_length=CHANNEL_LENGTH_MAX),
            max_items=CHANNELS_MAX,
            description="The channels that it is on: webhooks that name channels get it if one is "
            "theirs.",
        ),
    },
    examples=[
        {"type": "qr.scanned", "data": {"short_code": "r7f3Kx", "country": "AT"}},
    ],
)

_CLOUD_SCHEMA: Final = Schema(
    type=OpenAPIType.OBJECT,
    title="CloudEvent",
    description="A CloudEvent 1.0 with JSON data, in structured mode.",
    required=["specversion", "id", "source", "type"],
    properties={
        "specversion": Schema(type=OpenAPIType.STRING, examples=["1.0"]),
        "id": Schema(type=OpenAPIType.STRING, min_length=1, max_length=128),
        "source": Schema(type=OpenAPIType.STRING, description="A URI reference."),
        "type": Schema(type=OpenAPIType.STRING, description="An event type or an alias of one."),
        "time": Schema(
            type=_STRING_OR_NULL, description="RFC 3339; the time of the call when absent."
        ),
        "datacontenttype": Schema(
            type=_STRING_OR_NULL, description="JSON, which is what it means when absent."
        ),
        "data": Schema(type=OpenAPIType.OBJECT, description="What happened."),
        "data_base64": Schema(
            type=_STRING_OR_NULL, description="The same as base64 of JSON, instead of `data`."
        ),
    },
    examples=[
        {
            "specversion": "1.0",
            "id": "evt_abc123xyz",
            "source": "https://example.com/scanner",
            "type": "qr.scanned",
            "time": "2026-03-15T10:00:00Z",
            "data": {"short_code": "r7f3Kx", "country": "AT"},
        }
    ],
)


def errors(*more: int) -> dict[int, ResponseSpec]:
    """Return the error answers of a route: those that every call may give, and ``more``.

    A route that reads a body (so 413 is among them) may find it too slow, also.
    """
    return _problems(*_COMMON_ERRORS, *more, *((408,) if 413 in more else ()))


def operator_errors(*more: int) -> dict[int, ResponseSpec]:
    """Return the error answers of a route of the operator's."""
    return _problems(*_OPERATOR_ERRORS, *more, *((408,) if 413 in more else ()))


def public_errors(*more: int) -> dict[int, ResponseSpec]:
    """Return the error answers of a route that needs no credential."""
    return _problems(400, 503, *more)


def _problems(*statuses: int) -> dict[int, ResponseSpec]:
    return {
        status: ResponseSpec(
            Problem,
            generate_examples=False,
            description=_ERRORS[status],
            media_type=PROBLEM_JSON,
        )
        for status in sorted(statuses)
    }


@dataclass
class EventOperation(Operation):
    """The operation of a route that reads one event itself, byte for byte."""

    def __post_init__(self) -> None:
        """Describe the body."""
        self.request_body = _body(
            {"application/json": _EVENT_SCHEMA, "application/cloudevents+json": _CLOUD_SCHEMA}
        )


@dataclass
class BatchOperation(Operation):
    """The operation of a route that reads many events itself."""

    def __post_init__(self) -> None:
        """Describe the body."""
        self.request_body = _body(
            {
                "application/json": Schema(type=OpenAPIType.ARRAY, items=_EVENT_SCHEMA),
                "application/cloudevents-batch+json": Schema(
                    type=OpenAPIType.ARRAY, items=_CLOUD_SCHEMA
                ),
                "application/x-ndjson": Schema(
                    type=OpenAPIType.STRING, description="One event as JSON on each line."
                ),
            }
        )


@dataclass
class CorrectionOperation(Operation):
    """The operation of a route that reads one event, or none."""

    def __post_init__(self) -> None:
        """Describe the body."""
        self.request_body = _body(
            {"application/json": _EVENT_SCHEMA, "application/cloudevents+json": _CLOUD_SCHEMA},
            required=False,
        )


@dataclass
class BodilessOperation(Operation):
    """The operation of a route whose body may be left out."""

    def __post_init__(self) -> None:
        """Say so: Litestar does not see it."""
        assert isinstance(self.request_body, RequestBody)
        self.request_body.required = False


def openapi_config(public_url: str) -> OpenAPIConfig:
    """Return the configuration; the document is at ``/openapi.json``."""
    return NamedShapesConfig(
        title="Hooklane",
        version="1",
        description=_DESCRIPTION,
        servers=[Server(url=public_url or "/")],
        security=SECURITY,
        operation_id_creator=operation_id,
        components=Components(
            security_schemes={
                "apiKey": _bearer("An API key, `hk_…`.", None),
                "token": _bearer("A token of the dashboard, or of an identity provider.", "JWT"),
                "operator": _bearer("The operator's key.", None),
            }
        ),
        render_plugins=[JsonRenderPlugin(path="/")],
        openapi_router=Router(path="/openapi.json", route_handlers=[], include_in_schema=False),
    )


def _bearer(description: str, bearer_format: str | None) -> SecurityScheme:
    return SecurityScheme(
        type="http", scheme="bearer", description=description, bearer_format=bearer_format
    )


def _body(schemas: dict[str, Schema], *, required: bool = True) -> RequestBody:
    content: dict[str, Any] = {
        media_type: OpenAPIMediaType(schema=schema) for media_type, schema in schemas.items()
    }
    return RequestBody(content=content, required=required)
