"""The OpenAPI document describes the whole API."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from services.gateway.app import create_app
from services.gateway.auth import Authenticator, JwtPolicy
from services.gateway.guards import SCOPE, enter
from services.gateway.operators import operate
from services.gateway.routes.health import Checks
from services.gateway.schemas import (
    DESCRIPTION_LENGTH_MAX,
    EVENTS_MAX,
    OVERLAP_S_MAX,
    TIMEOUT_MS_MIN,
)
from tests.unit.services.gateway.fakes import ports

METHODS = {"GET", "POST", "PATCH", "DELETE"}
UNDOCUMENTED = "/openapi.json"
PEOPLES = re.compile(r"(?!.*_(v1|by|id)(_|$))[a-z]+(_[a-z]+){1,4}")


async def nothing() -> None:
    """Be a probe that always answers."""


@pytest.fixture(scope="module")
def app() -> Litestar:
    given = ports()
    return create_app(
        ports=given,
        authenticator=Authenticator(given, JwtPolicy("", "hooklane")),
        checks=Checks(kafka=nothing, mongodb=nothing),
    )


@pytest.fixture(scope="module")
def document(app: Litestar) -> dict[str, Any]:
    return app.openapi_schema.to_schema()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def test_it_lists_every_route(app: Litestar, document: dict[str, Any]) -> None:
    served = {
        (route.path_format, method.lower())
        for route in app.routes
        if isinstance(route, HTTPRoute) and not route.path.startswith(UNDOCUMENTED)
        for method in route.methods
        if method in METHODS
    }

    assert served == {(path, method) for path, method, _ in operations(document)}


def test_it_is_openapi_3_1_with_every_credential(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    schemes = document["components"]["securitySchemes"]
    assert {name: scheme["scheme"] for name, scheme in schemes.items()} == {
        "apiKey": "bearer",
        "token": "bearer",
        "operator": "bearer",
    }


def test_each_operation_has_a_summary_and_an_id_of_its_own(document: dict[str, Any]) -> None:
    found = operations(document)

    assert all(operation["summary"] for _, _, operation in found)
    assert len({operation["operationId"] for _, _, operation in found}) == len(found)


def test_generated_functions_have_names_that_people_would_give_them(
    document: dict[str, Any],
) -> None:
    ugly = [
        operation["operationId"]
        for _, _, operation in operations(document)
        if PEOPLES.fullmatch(operation["operationId"]) is None
    ]

    assert not ugly, "name it with operation_id on the route, or mend openapi_names.py"


def test_generated_types_have_names(document: dict[str, Any]) -> None:
    """What is described in place gets a name from the generator, and it is an ugly one."""
    unnamed = [
        where
        for where, shape in nameable(document)
        if is_enumeration(shape) or is_choice_of_mappings(shape) or "title" in shape
    ]

    assert not unnamed, "openapi_shapes.py gives names to such shapes"


def test_no_two_types_have_one_name(document: dict[str, Any]) -> None:
    """Litestar puts the module before such names, and generators take them for one."""
    assert [name for name in document["components"]["schemas"] if "_" in name] == []


def nameable(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the shapes of fields and of what bodies are made of, and where they are."""
    for owner, schema in document["components"]["schemas"].items():
        for name, shape in schema.get("properties", {}).items():
            yield f"{owner}.{name}", shape
    for _, _, operation in operations(document):
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            shape = content["schema"]
            yield f"{operation['operationId']} ({kind})", shape.get("items", shape)


def is_enumeration(shape: dict[str, Any]) -> bool:
    return len(shape.get("enum", ())) > 1


def is_choice_of_mappings(shape: dict[str, Any]) -> bool:
    return any(choice.get("type") == "object" for choice in shape.get("oneOf", ()))


def test_every_error_is_a_problem(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], (path, method)


def test_every_call_of_the_api_asks_for_a_scope(app: Litestar) -> None:
    handlers = [
        handler
        for route in app.routes
        if isinstance(route, HTTPRoute) and route.path.startswith(("/v1", "/api"))
        for handler in route.route_handlers
        if handler.http_methods != {"OPTIONS"}
    ]
    asking = [handler for handler in handlers if operate not in handler.resolve_guards()]

    assert 0 < len(asking) < len(handlers)
    assert all(handler.opt.get(SCOPE) for handler in asking)
    assert all(enter in handler.resolve_guards() for handler in asking)


def test_the_bodies_of_events_are_described(document: dict[str, Any]) -> None:
    batch = document["paths"]["/v1/events/batch"]["post"]["requestBody"]["content"]

    assert set(batch) == {
        "application/json",
        "application/x-ndjson",
        "application/cloudevents-batch+json",
    }
    schemas = document["components"]["schemas"]
    assert schemas["Event"]["required"] == ["type", "data"]
    assert schemas["CloudEvent"]["required"] == ["specversion", "id", "source", "type"]
    single = document["paths"]["/v1/events"]["post"]["requestBody"]["content"]
    assert single["application/json"]["schema"] == {"$ref": "#/components/schemas/Event"}
    cloud = single["application/cloudevents+json"]["schema"]
    assert cloud == {"$ref": "#/components/schemas/CloudEvent"}


def test_requests_say_that_unknown_fields_are_refused(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    for name in ("CreateWebhook", "UpdateWebhook", "RotateSecret", "CreateEventType"):
        assert schemas[name]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["Webhook"]


def test_requests_say_what_validation_holds(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    webhook = schemas["CreateWebhook"]["properties"]

    assert (webhook["events"]["minItems"], webhook["events"]["maxItems"]) == (1, EVENTS_MAX)
    assert webhook["description"]["maxLength"] == DESCRIPTION_LENGTH_MAX
    assert schemas["UpdateWebhook"]["properties"]["timeout_ms"]["minimum"] == TIMEOUT_MS_MIN
    assert schemas["RotateSecret"]["properties"]["overlap_s"]["maximum"] == OVERLAP_S_MAX


def test_a_rotation_may_come_without_a_body(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/webhooks/{webhook_id}/secret/rotate"]["post"]

    assert operation["requestBody"].get("required", False) is False


def test_options_lists_every_method_of_a_path(app: Litestar, document: dict[str, Any]) -> None:
    served = {route.path_format: route for route in app.routes if isinstance(route, HTTPRoute)}
    for path, item in document["paths"].items():
        (options,) = [
            handler
            for handler in served[path].route_handlers
            if handler.http_methods == {"OPTIONS"}
        ]
        answer: Any = options.fn({})
        allowed = answer.headers["Allow"].split(", ")

        assert set(allowed) == {"OPTIONS", *(method.upper() for method in item)}
