"""Shapes get names, once each, and keep what is said of the field."""

from typing import Any

import pytest

from services.gateway.openapi_shapes import with_named_shapes

STATUS = {"type": "string", "enum": ["success", "failed", "discarded"]}
REFERENCE = "#/components/schemas/"


def document(schemas: dict[str, Any], **operation: Any) -> dict[str, Any]:
    return {"components": {"schemas": schemas}, "paths": {"/things": {"get": operation}}}


def with_field(shape: dict[str, Any], owner: str = "Thing") -> dict[str, Any]:
    return document({owner: {"type": "object", "properties": {"kind_of": shape}}})


def named(given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return what becomes of the field, and the components."""
    schemas = with_named_shapes(given)["components"]["schemas"]
    return schemas["Thing"]["properties"]["kind_of"], schemas


def test_an_enumeration_is_named_after_its_field() -> None:
    field, schemas = named(with_field({"type": "string", "enum": ["a", "b"], "description": "x"}))

    assert field == {"$ref": f"{REFERENCE}ThingKindOf", "description": "x"}
    assert schemas["ThingKindOf"]["enum"] == ["a", "b"]


def test_one_that_may_be_null_is_a_choice() -> None:
    nullable = {"type": ["null", "string"], "enum": ["a", "b", None]}

    field, schemas = named(with_field(nullable))

    assert field == {"oneOf": [{"$ref": f"{REFERENCE}ThingKindOf"}, {"type": "null"}]}
    assert schemas["ThingKindOf"]["enum"] == ["a", "b"]


def test_one_that_several_schemas_use_has_one_name() -> None:
    given = with_field(STATUS)
    given["components"]["schemas"]["Other"] = {"properties": {"status": STATUS}}

    field, schemas = named(given)

    assert field == {"$ref": f"{REFERENCE}DeliveryStatus"}
    assert schemas["Other"]["properties"]["status"] == field


def test_a_constant_stays_where_it_is() -> None:
    field, schemas = named(with_field({"type": "string", "enum": ["only"]}))

    assert field["enum"] == ["only"]
    assert set(schemas) == {"Thing"}


def test_a_mapping_that_may_be_null_is_named() -> None:
    mapping = {"type": "object", "additionalProperties": {"type": "string"}}

    field, schemas = named(with_field({"oneOf": [mapping, {"type": "null"}], "examples": [{}]}))

    assert field["oneOf"][0] == {"$ref": f"{REFERENCE}ThingKindOf"}
    assert field["examples"] == [{}]
    assert schemas["ThingKindOf"]["additionalProperties"] == {"type": "string"}


def test_a_choice_of_one_is_no_choice() -> None:
    inner = {"oneOf": [{"oneOf": [{"type": "integer"}]}], "minimum": 1}

    assert named(with_field(inner))[0] == {"type": "integer", "minimum": 1}


def test_parameters_are_not_null() -> None:
    schema = {"oneOf": [{"type": "string"}, {"type": "null"}], "maxLength": 9}
    given = document({}, parameters=[{"name": "search", "schema": schema}])

    (parameter,) = with_named_shapes(given)["paths"]["/things"]["get"]["parameters"]

    assert parameter["schema"] == {"type": "string", "maxLength": 9}


def test_a_body_that_has_a_title_is_named() -> None:
    event = {"title": "Event", "type": "object", "properties": {}}
    content = {
        "application/json": {"schema": event},
        "application/batch+json": {"schema": {"type": "array", "items": event}},
    }

    changed = with_named_shapes(document({}, requestBody={"content": content}))

    one, many = changed["paths"]["/things"]["get"]["requestBody"]["content"].values()
    assert one["schema"] == many["schema"]["items"] == {"$ref": f"{REFERENCE}Event"}
    assert changed["components"]["schemas"]["Event"] == event


def test_two_shapes_cannot_have_one_name() -> None:
    given = with_field({"type": "string", "enum": ["a", "b"]})
    given["components"]["schemas"]["ThingKindOf"] = {"title": "ThingKindOf", "type": "object"}

    with pytest.raises(AssertionError, match="ThingKindOf is the name of two shapes"):
        with_named_shapes(given)


def test_what_is_given_stays_as_it_is() -> None:
    given = with_field({"type": "string", "enum": ["a", "b"]})

    with_named_shapes(given)

    assert set(given["components"]["schemas"]) == {"Thing"}
