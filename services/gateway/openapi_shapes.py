"""Schemas with names, and parameters that are never null: what generated clients are made from.

A generator names what the document names. An enumeration, a mapping or a body that is described in
place becomes ``CreateWebhookSignatureType2Type1`` in a client, and once more wherever it is
described again. So each of them moves to the components here, under a name that stays. Pure: from
the document as Litestar describes it to the document as it is served.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final, get_args, get_type_hints

from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import OpenAPI

from services.gateway.endpoint_filters import STATUSES
from services.gateway.schemas import BodyEncoding, SignatureVersion
from shared.models.attempts import Status
from shared.models.endpoints import PayloadFormat
from shared.policy.explaining import Criterion

Shape = dict[str, Any]

SHARED: Final[dict[str, tuple[str, ...]]] = {
    "DeliveryStatus": get_args(Status),
    "PayloadFormat": get_args(PayloadFormat),
    "SignatureVersion": get_args(SignatureVersion),
    "BodyEncoding": get_args(get_args(BodyEncoding)[0]),
    "WebhookStatus": STATUSES,
    "CriterionName": get_args(get_type_hints(Criterion)["criterion"]),
    "DependencyState": ("up", "down"),
}
"""Enumerations that several schemas use; one that a single schema uses is named after its field."""

_REFERENCE: Final = "#/components/schemas/"
_ABOUT_THE_FIELD: Final = ("description", "examples", "default")
_NULL: Final[Shape] = {"type": "null"}


class NamedShapesConfig(OpenAPIConfig):
    """Litestar's configuration of a document whose shapes have names."""

    def to_openapi_schema(self) -> OpenAPI:
        """Return the document, still without paths."""
        plain = super().to_openapi_schema()
        return _NamedShapes(**{name: getattr(plain, name) for name in plain.__dataclass_fields__})


class _NamedShapes(OpenAPI):
    def to_schema(self) -> Shape:
        return with_named_shapes(super().to_schema())


def with_named_shapes(document: Shape) -> Shape:
    """Return ``document`` with its shapes under names and its parameters without null."""
    named = deepcopy(document)
    schemas: dict[str, Shape] = named["components"]["schemas"]
    for owner in sorted(schemas):
        for field, shape in schemas[owner].get("properties", {}).items():
            name = owner + "".join(part.capitalize() for part in field.split("_"))
            schemas[owner]["properties"][field] = _field(shape, name, schemas)
    for operation in _operations(named):
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = _parameter(parameter["schema"], schemas)
        for content in operation.get("requestBody", {}).get("content", {}).values():
            content["schema"] = _body(content["schema"], schemas)
    named["components"]["schemas"] = dict(sorted(schemas.items()))
    return named


def _operations(document: Shape) -> Iterator[Shape]:
    for item in document["paths"].values():
        yield from item.values()


def _field(shape: Shape, name: str, schemas: dict[str, Shape]) -> Shape:
    """Return a field's shape; what has to have a name is moved to ``schemas``."""
    shape = _flat(shape)
    if "enum" in shape:
        values = tuple(value for value in shape["enum"] if value is not None)
        if len(values) == 1:
            return shape  # a constant; a type of its own would say nothing
        reference = _named(_enumeration_name(values, name), _enumeration(values), schemas)
        return _about(shape, reference, nullable=None in shape["enum"])
    choices = shape.get("oneOf", ())
    if len(choices) == 2 and _NULL in choices:
        (mapping,) = (choice for choice in choices if choice != _NULL)
        if _is_mapping(mapping):
            return _about(shape, _named(name, mapping, schemas), nullable=True)
    return shape


def _flat(shape: Shape) -> Shape:
    """Return ``shape`` with a choice of one put in its place."""
    while len(shape.get("oneOf", ())) == 1:
        (choice,) = shape["oneOf"]
        shape = {**choice, **{key: shape[key] for key in shape if key != "oneOf"}}
    return shape


def _parameter(shape: Shape, schemas: dict[str, Shape]) -> Shape:
    """Return a parameter's shape: it is there or it is not, but it cannot be null."""
    if "oneOf" in shape:
        choices = [choice for choice in shape["oneOf"] if choice != _NULL]
        shape = _flat({**shape, "oneOf": choices})
    values = tuple(shape.get("enum", ()))
    name = _enumeration_name(values, "")
    if not name:
        return shape
    return _about(shape, _named(name, _enumeration(values), schemas), nullable=False)


def _body(shape: Shape, schemas: dict[str, Shape]) -> Shape:
    """Return a body's shape; one with a title that is described in place gets it as its name."""
    if "items" in shape:
        return {**shape, "items": _body(shape["items"], schemas)}
    return _named(shape["title"], shape, schemas) if "title" in shape else shape


def _named(name: str, shape: Shape, schemas: dict[str, Shape]) -> Shape:
    """Put ``shape`` among the components and return the reference to it."""
    known = schemas.setdefault(name, {**shape, "title": name})
    assert known == {**shape, "title": name}, f"{name} is the name of two shapes"
    return {"$ref": _REFERENCE + name}


def _about(shape: Shape, reference: Shape, *, nullable: bool) -> Shape:
    """Return the reference with what is said of the field itself."""
    choice: Shape = {"oneOf": [reference, _NULL]} if nullable else reference
    return choice | {key: shape[key] for key in _ABOUT_THE_FIELD if key in shape}


def _enumeration(values: tuple[str, ...]) -> Shape:
    return {"type": "string", "enum": list(values)}


def _enumeration_name(values: tuple[str, ...], name: str) -> str:
    return next((shared for shared, its in SHARED.items() if its == values), name)


def _is_mapping(shape: Shape) -> bool:
    return shape.get("type") == "object" and "properties" not in shape
