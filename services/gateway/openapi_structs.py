"""What the OpenAPI document says of structs, as far as Litestar does not see it.

Litestar describes fields and required names. Two more things are true of our requests: unknown
fields are refused where the struct forbids them, and what validation holds is in the ``Meta`` of a
field as ``extra_json_schema`` (there and not as msgspec's own constraints: validation lists every
wrong field with its fix, msgspec stops at the first one).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, Final, Protocol

import msgspec
from litestar.openapi.spec import Schema
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

_CAPITAL: Final = re.compile("[A-Z]")


class _Creator(Protocol):
    """What is used here of Litestar's SchemaCreator, which is private."""

    plugins: Any

    def plugin_supports_field(self, plugin: Any, field: FieldDefinition) -> bool:
        """Return whether a plugin describes this type."""


class StructSchemas(OpenAPISchemaPlugin):
    """Litestar's description of a struct, completed. Goes before Litestar's own plugin."""

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        """Return whether it is a struct."""
        return not field_definition.is_union and field_definition.is_subclass_of(msgspec.Struct)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        """Return Litestar's schema with what it lacks."""
        described = _described(field_definition, schema_creator)
        told = msgspec.inspect.type_info(field_definition.type_)
        assert isinstance(told, msgspec.inspect.StructType)
        if told.forbid_unknown_fields:
            described.additional_properties = False
        for field in told.fields:
            shown = (described.properties or {})[field.encode_name]
            if isinstance(shown, Schema):
                for name, value in _held(field.type):
                    setattr(shown, _CAPITAL.sub(lambda at: "_" + at[0].lower(), name), value)
                for item in _texts_in(field.type):
                    assert isinstance(shown.items, Schema)
                    shown.items = dataclasses.replace(
                        shown.items, min_length=item.min_length, max_length=item.max_length
                    )
        return described


def _described(field_definition: FieldDefinition, creator: _Creator) -> Schema:
    others = (one for one in creator.plugins if not isinstance(one, StructSchemas))
    plugin = next(one for one in others if creator.plugin_supports_field(one, field_definition))
    schema = plugin.to_openapi_schema(field_definition, creator)
    assert isinstance(schema, Schema)
    return schema


def _texts_in(told: msgspec.inspect.Type) -> Iterator[msgspec.inspect.StrType]:
    """Yield the type of a list's items where these are texts of a length: Litestar forgets it."""
    if isinstance(told, msgspec.inspect.Metadata):
        yield from _texts_in(told.type)
    elif isinstance(told, msgspec.inspect.ListType):
        item = told.item_type
        if isinstance(item, msgspec.inspect.StrType) and (item.min_length or item.max_length):
            yield item


def _held(told: msgspec.inspect.Type) -> Iterator[tuple[str, Any]]:
    """Yield the keywords in ``extra_json_schema``, as JSON Schema spells them; in unions, too."""
    if isinstance(told, msgspec.inspect.UnionType):
        for one in told.types:
            yield from _held(one)
    elif isinstance(told, msgspec.inspect.Metadata):
        yield from (told.extra_json_schema or {}).items()
        yield from _held(told.type)
