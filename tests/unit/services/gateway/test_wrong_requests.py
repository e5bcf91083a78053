"""Whatever is wrong with a request, the answer names the field, what is wrong, and what is right.

The wrong requests are made from the OpenAPI document: for each field of each body, each way in
which its schema can be left. So a field or a limit that is new is tried without a change here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
import pytest_asyncio
from httpx import ASGITransport, AsyncClient
from litestar import Litestar

from services.gateway.app import create_app
from services.gateway.auth import Authenticator, JwtPolicy, digest_of, new_api_key
from services.gateway.handlers.accounts import create_api_key
from services.gateway.ports import Ports
from services.gateway.routes.health import Checks
from shared.models.management import Endpoint, Workspace
from tests.unit.services.gateway.fakes import NOW_MS, QR3, ports

JSON: Final = "application/json"
TYPES: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
"""What answers call the types of JSON Schema; the others have the same name in both."""

RIGHT: Final[dict[str, dict[str, Any]]] = {
    "CreateWebhook": {"url": "https://example.com/hook", "events": ["*"]},
    "CreateEventType": {"type": "order.placed"},
    "Event": {"type": "qr.scanned", "data": {}},
    "Recover": {"since": "2026-03-15T10:00:00Z"},
}
"""Bodies that are right, of schemas whose examples would not do."""

ADD: Final = {"Event": "required"}
"""What is said of a field that is missing, where it is said in the words of `events.rejected`."""


class Wrong(NamedTuple):
    """A body that is wrong in one way: at ``field``; the answer says what is ``right`` there."""

    call: str
    body: Any
    field: str
    right: str


class OneEndpoint:
    """A store with one endpoint, whatever its id."""

    async def get(self, workspace_id: str, endpoint_id: str) -> Endpoint:
        return Endpoint(
            id=endpoint_id,
            workspace_id=workspace_id,
            profile=QR3.name,
            url="https://example.com",
            events=("*",),
            secret="",
            secret_hint="",
            created_ms=NOW_MS,
            updated_ms=NOW_MS,
        )


async def nothing() -> None:
    """Be a probe that always answers."""


OPERATOR_KEY: Final = "the-operators-key"
OPERATOR: Final = {"Authorization": f"Bearer {OPERATOR_KEY}"}


def application() -> tuple[Litestar, Ports]:
    given = ports(endpoints=OneEndpoint())
    checks = Checks(kafka=nothing, mongodb=nothing)
    authenticator = Authenticator(given, JwtPolicy("a" * 32, "hooklane"))
    app = create_app(
        ports=given,
        authenticator=authenticator,
        checks=checks,
        operator_key_sha256=digest_of(OPERATOR_KEY),
    )
    return app, given


def wrong_bodies(document: dict[str, Any]) -> Iterator[Wrong]:
    """Yield wrong bodies of every call of the native API that takes JSON."""
    schemas = document["components"]["schemas"]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            reference = content.get(JSON, {}).get("schema", {}).get("$ref")
            if reference is not None and path.startswith("/v1/"):
                name = reference.rpartition("/")[2]
                call = f"{method.upper()} {path.replace('{', '').replace('}', '')}"
                if "resubmit" not in call:  # reads what /v1/events reads
                    for body, field, right in wrong(
                        schemas[name], right_of(name, schemas), schemas
                    ):
                        yield Wrong(call, body, field, right)


def right_of(name: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return a body that is right: with what is required, as the examples have it."""
    shapes = schemas[name]["properties"]
    required = [field for field in schemas[name].get("required", ()) if name not in RIGHT]
    return RIGHT.get(name) or {field: shapes[field]["examples"][0] for field in required}


def wrong(
    schema: dict[str, Any], right: dict[str, Any], schemas: dict[str, Any]
) -> Iterator[tuple[Any, str, str]]:
    """Yield bodies that a schema forbids, the field at fault, and a part of what has to be said."""
    yield [], "body", "object"
    for name in schema.get("required", ()):
        yield (
            {key: right[key] for key in right if key != name},
            name,
            ADD.get(schema["title"], "add it"),
        )
    if schema.get("additionalProperties") is False:
        yield {**right, "zzz": 1}, "zzz", "known: "
    for name, shape in schema["properties"].items():
        for value, said in outside(shape, schemas):
            yield {**right, name: value}, name, said


def outside(shape: dict[str, Any], schemas: dict[str, Any]) -> Iterator[tuple[Any, str]]:
    """Yield values that a field's schema forbids, and a part of what has to be said of each."""
    if "$ref" in shape:
        shape = schemas[shape["$ref"].rpartition("/")[2]]
    for choice in shape.get("oneOf", ()):
        yield from outside({**shape, "oneOf": (), **choice}, schemas)
    kind = shape.get("type", "null")
    kind = kind if isinstance(kind, str) else kind[0]  # the other one is null
    if kind in TYPES or kind in ("array", "object"):
        yield (7 if kind in ("string", "array", "object") else "seven"), TYPES.get(kind, kind)
    for value in shape.get("enum", ())[:1]:
        yield "zzz", str(value)
    if kind == "string" and "enum" not in shape:
        yield from ((length * "x", str(at)) for at, length in beyond(shape, "Length"))
    if kind == "array":
        yield from (
            ([f"x{n}" for n in range(size)], str(at)) for at, size in beyond(shape, "Items")
        )
    for limit, step in (("minimum", -1), ("maximum", 1)):
        if limit in shape and kind in ("integer", "number"):
            beside = shape[limit] + step
            yield (int(beside) if kind == "integer" else beside), f"{shape[limit]:g}"


def beyond(shape: dict[str, Any], of: str) -> Iterator[tuple[int, int]]:
    """Yield the limits of a size that is more than nothing, with a size beyond each."""
    if shape.get(f"max{of}") is not None:
        yield shape[f"max{of}"], shape[f"max{of}"] + 1
    if shape.get(f"min{of}", 0) > 1:
        yield shape[f"min{of}"], shape[f"min{of}"] - 1


CASES: Final = list(wrong_bodies(application()[0].openapi_schema.to_schema()))


@pytest_asyncio.fixture
async def client() -> AsyncClient:
    app, given = application()
    workspace = Workspace(id="ws_a", profile=QR3.name, name="", created_ms=NOW_MS)
    await given.workspaces.create(workspace)
    key = await create_api_key(given, workspace_id="ws_a")
    return AsyncClient(
        transport=ASGITransport(app=app),  # type: ignore[arg-type]
        base_url="http://gateway",
        headers={"Authorization": f"Bearer {key}"},
    )


def test_every_call_with_a_body_is_tried() -> None:
    assert len({case.call for case in CASES}) >= 8
    assert len(CASES) > 100


async def test_what_is_wrong_is_named_with_what_is_right(client: AsyncClient) -> None:
    unclear, reached = [], 0
    for case in CASES:
        method, path = case.call.split()
        headers = OPERATOR if path.startswith("/v1/operator") else {}
        answer = await client.request(method, path, json=case.body, headers=headers)
        if answer.status_code == 404:
            continue  # the thing is looked up first, and is not here
        reached += 1
        errors = answer.json().get("errors", [])
        named = [
            error
            for error in errors
            if error["field"].startswith(case.field) and case.right in error["detail"]
        ]
        about_all = case.field == "body" and case.right in answer.json()["detail"]
        if answer.status_code not in (400, 422) or not (named or about_all):
            unclear.append((case, answer.status_code, answer.text))

    assert unclear == [], "\n".join(map(str, unclear))
    assert reached > 100


@pytest.mark.parametrize(
    ("query", "field", "right"),
    [
        ("limit=0", "limit", ">= 1"),
        ("limit=101", "limit", "<= 100"),
        ("limit=ten", "limit", "`int`"),
        ("status=broken", "status", "active"),
        ("metadata=team", "metadata", "key:value"),
        ("cursor=x", "cursor", "next_cursor of the page before"),
        ("serach=x", "serach", "did you mean 'search'?"),
    ],
)
async def test_so_are_parameters(client: AsyncClient, query: str, field: str, right: str) -> None:
    answer = await client.get(f"/v1/webhooks?{query}")

    (error,) = answer.json()["errors"]
    assert answer.status_code == 400
    assert error["field"] == field
    assert right in error["detail"]


@pytest.mark.parametrize(
    ("authorization", "right"),
    [
        (None, "send Authorization: Bearer <API key or token>"),
        ("Basic eA==", "must be: Bearer <API key or token>"),
        (f"Bearer {new_api_key(bytes(32))}", "was it revoked?"),
    ],
)
async def test_so_are_credentials(
    client: AsyncClient, authorization: str | None, right: str
) -> None:
    del client.headers["Authorization"]
    headers = {} if authorization is None else {"Authorization": authorization}

    answer = await client.get("/v1/webhooks", headers=headers)

    assert answer.status_code == 401
    assert right in answer.json()["detail"]
