"""Reading an event from a Kafka record: native JSON, or CloudEvents (structured or binary).

``decode_event`` is total: it returns an ``Event`` or raises ``Poison`` with a reason that names the
field and the fix; hostile input of any kind (not JSON, invalid UTF-8, thousands of levels deep)
raises nothing else. ``data`` keeps the producer's bytes; they are checked when they are rendered.

An event without an id or a creation time gets both from its Kafka coordinates, never from a clock,
so that a record that is read twice is one event. Unknown members are ignored (the contract may
grow), missing ones are refused. CloudEvents (https://cloudevents.io, 1.0, Kafka and JSON bindings):
``type``, ``id``, ``time`` and ``data`` map one to one, the workspace is the extension
attribute ``workspaceid``, else ``source``; the extension ``channels`` names some with commas.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from shared.models import ids
from shared.models.errors import Poison
from shared.models.times import iso_ms, parse_ms

EVENT_TYPE_LENGTH_MAX: Final = 512
CHANNELS_MAX: Final = 10
CHANNEL_LENGTH_MAX: Final = 128
TRACE_HEADER: Final = "traceparent"
_CE_STRUCTURED: Final = b"application/cloudevents+json"
_CE_PREFIX: Final = "ce_"
_NO_DATA: Final = msgspec.Raw()


class Coordinates(msgspec.Struct, frozen=True, gc=False):
    """Where a record is; ``timestamp_ms`` is the record's own, set when it was produced."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in for members that an event leaves out, where its way tells: over HTTP."""

    workspace_id: str | None = None
    id: str | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event as read. ``type`` is as published (aliases unresolved), ``data`` raw JSON bytes.

    ``created`` is RFC 3339 in UTC with milliseconds; ``accepted_ms`` the record's timestamp.
    ``channels`` are those that it is on: endpoints may ask for some only. ``traceparent`` is what
    its producer said of its trace, unchecked: a header, or the extension of CloudEvents.
    """

    id: str
    type: str
    workspace_id: str
    created: str
    data: bytes
    accepted_ms: int
    channels: tuple[str, ...] = ()
    traceparent: str = ""


class _Native(msgspec.Struct):
    """The members of a native event; ``Raw`` keeps the bytes of ``data``."""

    type: str
    data: msgspec.Raw
    workspace_id: str | UnsetType = UNSET
    id: str | None = None
    created: str | None = None
    channels: tuple[str, ...] | None = None


class _CloudEvent(msgspec.Struct):
    """The members of a structured CloudEvent."""

    specversion: str
    id: str
    type: str
    source: str
    data: msgspec.Raw = _NO_DATA
    time: str | None = None
    workspaceid: str | None = None
    datacontenttype: str | None = None
    data_base64: str | None = None
    channels: str | None = None
    traceparent: object = None  # whatever it is, no event is refused for it


NO_DEFAULTS: Final = Defaults()

_MEMBER: Final = re.compile(r"required field `(?P<missing>[^`]*)`$| at `\$\.(?P<wrong>[^`]*)`$")

_native_decoder = msgspec.json.Decoder(_Native)
_cloud_decoder = msgspec.json.Decoder(_CloudEvent)
_space = " \t\n\r"


def _no_constant(name: str) -> str:
    raise ValueError(f"{name} is no JSON value")


_skipper = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_no_constant)


def decode_event(
    value: bytes | None,
    headers: Iterable[tuple[str, bytes | None]],
    at: Coordinates,
    defaults: Defaults = NO_DEFAULTS,
) -> Event:
    """Return the event that a record on ``events`` holds; raises Poison otherwise.

    The content type decides before the ``ce_`` headers, because a producer may set them beside a
    structured event too (CloudEvents' Kafka binding, 3.3).
    """
    given = {name: text or b"" for name, text in headers}  # Kafka allows headers without a value
    structured = _media_type(given.get("content-type")) == _CE_STRUCTURED
    if f"{_CE_PREFIX}specversion" in given and not structured:
        return _binary_cloud_event(value, given, at, defaults)
    if not value:
        raise Poison("the record has no value; produce an event as JSON")
    if structured:
        return _structured_cloud_event(value, given, at, defaults)
    try:
        native, workspace_id = _native(value, defaults)
    except Poison:
        if b'"specversion"' in value:  # structured, but its producer could not set a header
            return _structured_cloud_event(value, given, at, defaults)
        raise
    return _event(
        identifier=defaults.id if native.id is None else native.id,
        event_type=native.type,
        workspace_id=workspace_id,
        created=native.created,
        channels=native.channels or (),
        data=bytes(native.data),
        traceparent=_traceparent(given, None),
        at=at,
    )


def _native(value: bytes, defaults: Defaults) -> tuple[_Native, str]:
    """Return the members of a native event and its workspace."""
    native = _members(value, _native_decoder)
    named = native.workspace_id
    workspace_id = defaults.workspace_id if named is UNSET else named
    if workspace_id is None:
        raise Poison("Object missing required field `workspace_id`", field="workspace_id")
    return native, workspace_id


def _structured_cloud_event(
    value: bytes, headers: Mapping[str, bytes], at: Coordinates, defaults: Defaults
) -> Event:
    cloud = _members(value, _cloud_decoder)
    data = bytes(cloud.data) or _from_base64(cloud.data_base64)
    if not data:
        raise Poison("data is missing: a CloudEvent needs JSON data here", field="data")
    _check_json(cloud.datacontenttype)
    return _event(
        identifier=cloud.id,
        event_type=cloud.type,
        workspace_id=cloud.workspaceid or defaults.workspace_id or cloud.source,
        created=cloud.time,
        channels=_listed(cloud.channels),
        data=data,
        traceparent=_traceparent(headers, cloud.traceparent),
        at=at,
    )


def _from_base64(text: str | None) -> bytes:
    """Return the data of a producer that had bytes; it is JSON all the same, or refused later."""
    try:
        return base64.b64decode(text or "", validate=True)
    except ValueError:
        raise Poison("data_base64 is not base64", field="data_base64") from None


def _binary_cloud_event(
    value: bytes | None, headers: Mapping[str, bytes], at: Coordinates, defaults: Defaults
) -> Event:
    """Read the Kafka binding's binary mode: attributes in ``ce_`` headers, data in the value."""
    if not value:
        raise Poison("data is missing: a CloudEvent needs JSON data here", field="data")
    try:
        attributes = {
            name.removeprefix(_CE_PREFIX): text.decode()
            for name, text in headers.items()
            if name.startswith(_CE_PREFIX)
        }
        content_type = headers.get("content-type", b"application/json").decode()
    except UnicodeDecodeError:
        raise Poison("a CloudEvents header is not UTF-8") from None
    for name in ("id", "type", "source"):
        if not attributes.get(name):
            raise Poison(f"the CloudEvents header ce_{name} is missing", field=name)
    _check_json(content_type)
    return _event(
        identifier=attributes["id"],
        event_type=attributes["type"],
        workspace_id=attributes.get("workspaceid") or defaults.workspace_id or attributes["source"],
        created=attributes.get("time"),
        channels=_listed(attributes.get("channels")),
        data=value,
        traceparent=_traceparent(headers, attributes.get("traceparent")),
        at=at,
    )


def _event(
    *,
    identifier: str | None,
    event_type: str,
    workspace_id: str,
    created: str | None,
    channels: tuple[str, ...],
    data: bytes,
    traceparent: str,
    at: Coordinates,
) -> Event:
    """Check the members and fill in what the coordinates decide."""
    if identifier is None:
        identifier = ids.derived_id(
            ids.EVENT, at.timestamp_ms, at.topic, str(at.partition), str(at.offset)
        )
    elif not 0 < len(identifier) <= ids.ID_LENGTH_MAX or not ids.is_visible_ascii(identifier):
        raise Poison(
            f"id must be 1 to {ids.ID_LENGTH_MAX} visible ASCII characters: it is sent in a header",
            field="id",
        )
    if not 0 < len(event_type) <= EVENT_TYPE_LENGTH_MAX:
        raise Poison("type must be a name such as 'qr.scanned'", field="type")
    if not data.lstrip(b" \t\r\n").startswith(b"{"):
        raise Poison("data must be a JSON object", field="data")
    if channels:
        _check_channels(channels)
    return Event(
        id=identifier,
        type=event_type,
        workspace_id=workspace_id,
        created=_created(created, at),
        data=data,
        accepted_ms=at.timestamp_ms,
        channels=channels,
        traceparent=traceparent,
    )


def _traceparent(headers: Mapping[str, bytes], extension: object) -> str:
    """Return the record's own trace, else the one in which a CloudEvent was made."""
    header = headers.get(TRACE_HEADER)
    if header:
        return header.decode("ascii", "replace")
    return extension if isinstance(extension, str) else ""


def is_channel(name: str) -> bool:
    """Return whether ``name`` can be a channel: visible ASCII without commas, and not too long."""
    return 0 < len(name) <= CHANNEL_LENGTH_MAX and ids.is_visible_ascii(name) and "," not in name


def _listed(channels: str | None) -> tuple[str, ...]:
    """Return the channels in a CloudEvents extension, which can hold a text only."""
    return () if not channels else tuple(name.strip() for name in channels.split(","))


def _check_channels(channels: tuple[str, ...]) -> None:
    if len(channels) > CHANNELS_MAX or not all(map(is_channel, channels)):
        raise Poison(
            f"channels must be up to {CHANNELS_MAX} names of 1 to {CHANNEL_LENGTH_MAX} visible "
            "ASCII characters without commas",
            field="channels",
        )


def _created(text: str | None, at: Coordinates) -> str:
    try:
        return iso_ms(at.timestamp_ms if text is None else parse_ms(text))
    except (ValueError, OverflowError):
        raise Poison(
            "created must be an RFC 3339 time such as 2026-03-15T10:00:00.000Z", field="created"
        ) from None


_Kind = TypeVar("_Kind", _Native, _CloudEvent)


def _members(value: bytes, decoder: msgspec.json.Decoder[_Kind]) -> _Kind:
    """Return the members of the JSON object ``value``."""
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        raise _misshapen(error) from None
    except RecursionError:
        raise Poison("the event is nested too deeply") from None
    except UnicodeDecodeError:
        raise Poison("the event is not valid UTF-8") from None
    except msgspec.DecodeError:
        # msgspec refuses escaped lone surrogates, which are legal JSON text, even inside Raw.
        return _members_slowly(value, decoder)


def _members_slowly(value: bytes, decoder: msgspec.json.Decoder[_Kind]) -> _Kind:
    """Do as ``_members`` for what only the standard library reads; slower by a factor of ten."""
    try:
        spans = _spans(value.decode())
        known = {name: spans[name] for name in decoder.type.__struct_fields__ if name in spans}
        raw = known.pop("data", None)
        members: dict[str, Any] = {name: json.loads(span) for name, span in known.items()}
        if raw is not None:
            members["data"] = msgspec.Raw(raw.encode())
        return msgspec.convert(members, decoder.type)
    except RecursionError:
        raise Poison("the event is nested too deeply") from None
    except UnicodeDecodeError:
        raise Poison("the event is not valid UTF-8") from None
    except msgspec.ValidationError as error:
        raise _misshapen(error) from None
    except ValueError as error:
        raise Poison(f"the event is not JSON: {error}") from None


def _misshapen(error: msgspec.ValidationError) -> Poison:
    """Return the reason with the member that it is about, where it is about one."""
    named = _MEMBER.search(str(error))
    return Poison(str(error), field=None if named is None else named["missing"] or named["wrong"])


def _spans(text: str) -> dict[str, str]:
    """Return the text of each member's value; raises ValueError where ``text`` is no object."""
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        raise ValueError("an object is expected")
    spans: dict[str, str] = {}
    at = _skip(text, at + 1)
    while text[at : at + 1] != "}":
        if text[at : at + 1] != '"':
            raise ValueError(f"a member name is expected at character {at}")
        name, at = _skipper.raw_decode(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise ValueError(f"':' is expected at character {at}")
        start = _skip(text, at + 1)
        _, at = _skipper.raw_decode(text, start)
        spans[name] = text[start:at]
        at = _skip(text, at)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
            if text[at : at + 1] == "}":
                raise ValueError(f"a member name is expected at character {at}")
        elif text[at : at + 1] != "}":
            raise ValueError(f"',' or '}}' is expected at character {at}")
    if _skip(text, at + 1) != len(text):
        raise ValueError(f"nothing may follow the object at character {at + 1}")
    return spans


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _space:
        at += 1
    return at


def _check_json(content_type: str | None) -> None:
    if content_type is None:
        return
    media = _media_type(content_type.encode())
    if media != b"application/json" and not media.endswith(b"+json"):
        raise Poison(f"data must be JSON, not {content_type[:64]!r}", field="datacontenttype")


def _media_type(value: bytes | None) -> bytes:
    return (value or b"").split(b";")[0].strip().lower()
