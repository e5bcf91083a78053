"""Rejected events: what the headers on ``events.rejected`` say, and the copy that the API shows.

A record there is the producer's, byte for byte, with headers that say why it was rejected, where it
was and, if that can be told, whose it is. One whose workspace cannot be told (it is no JSON, or
names none that exists) has no copy: nobody but the operators, who read the topic, may see it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from shared.models import ids, wire

REASON_HEADER: Final = "hooklane-rejected-reason"
FIELD_HEADER: Final = "hooklane-rejected-field"
ORIGIN_HEADER: Final = "hooklane-rejected-origin"
WORKSPACE_HEADER: Final = "hooklane-rejected-workspace"
CUT_HEADER: Final = "hooklane-rejected-cut"
"""The size in bytes of a record that was too large to be kept whole."""

OUR_HEADERS: Final = frozenset(
    {REASON_HEADER, FIELD_HEADER, ORIGIN_HEADER, WORKSPACE_HEADER, CUT_HEADER}
)
COPY_BYTES_MAX: Final = 65_536
"""How much of a value the copy has. The record itself is on the topic for its retention."""

_HEADER_BYTES_MAX: Final = 16_384

Headers = tuple[tuple[str, bytes], ...]
State = Literal["open", "resubmitted", "discarded"]


class Place(msgspec.Struct, frozen=True):
    """Where a rejected record was, and when Kafka took it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int = 0


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of a rejected event. ``received_ms`` is when Kafka took it, ``size`` its value's.

    ``value`` is shorter than ``size`` when the value was too large to be copied whole.
    ``event_id`` is that of the event that it became by being re-submitted.
    """

    id: str
    workspace_id: str
    received_ms: int
    reason: str
    field: str
    place: Place
    headers: Headers
    value: bytes
    size: int
    event_type: str | None = None
    state: State = "open"
    event_id: str | None = None

    @property
    def whole(self) -> bool:
        """Return whether the copy has all of the value."""
        return len(self.value) == self.size


class _Named(msgspec.Struct):
    """What a record may say of itself, in any of its formats, however wrong the rest is."""

    workspace_id: object = None
    workspaceid: object = None
    source: object = None
    type: object = None


_named_decoder = msgspec.json.Decoder(_Named)
_place_decoder = msgspec.json.Decoder(Place)


def workspaces_named(value: bytes | None, headers: Mapping[str, bytes]) -> Iterable[str]:
    """Yield the workspaces that a record may mean, the likeliest first."""
    named = _named(value)
    for text in (
        _text(headers.get("ce_workspaceid")),
        named.workspace_id,
        named.workspaceid,
        _text(headers.get("ce_source")),
        named.source,
    ):
        if isinstance(text, str) and text:
            yield text


def read_rejected(
    value: bytes | None, headers: Iterable[tuple[str, bytes | None]]
) -> Rejected | None:
    """Return the copy of a record on ``events.rejected``, None where nobody may have one.

    Raises msgspec.DecodeError for a record that does not say where it was.
    """
    given = tuple((name, text or b"") for name, text in headers)
    ours = {name: text for name, text in given if name in OUR_HEADERS}
    workspace_id = _text(ours.get(WORKSPACE_HEADER))
    if not workspace_id:
        return None
    place = wire.decode(_place_decoder, ours.get(ORIGIN_HEADER, b""))
    theirs = tuple((name, text) for name, text in given if name not in OUR_HEADERS)
    copied = (value or b"")[:COPY_BYTES_MAX]
    cut = _text(ours.get(CUT_HEADER)) or ""
    if sum(len(name) + len(text) for name, text in theirs) > _HEADER_BYTES_MAX:
        theirs, copied = (), b""
    return Rejected(
        id=ids.derived_id(
            ids.REJECTED, place.timestamp_ms, place.topic, str(place.partition), str(place.offset)
        ),
        workspace_id=workspace_id,
        received_ms=place.timestamp_ms,
        reason=_text(ours.get(REASON_HEADER)) or "",
        field=_text(ours.get(FIELD_HEADER)) or "",
        place=place,
        headers=theirs,
        value=copied,
        size=int(cut) if cut.isdecimal() else len(value or b""),
        event_type=_type(value, theirs),
    )


def _type(value: bytes | None, headers: Headers) -> str | None:
    text = _text(dict(headers).get("ce_type")) or _named(value).type
    return text[:64] if isinstance(text, str) else None


def _named(value: bytes | None) -> _Named:
    try:
        return wire.decode(_named_decoder, value or b"")
    except msgspec.DecodeError:
        return _Named()


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")
