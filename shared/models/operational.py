"""Operational events: what Hooklane itself tells a workspace, as webhooks like any other.

An announcement goes onto ``events`` as a producer's event would, so that fan-out matches and
renders it like any other, with a header that marks it as ours. Its names are reserved: nobody else
can publish them, no product and no workspace can have a type of that name, and an endpoint gets
them only if it names them; ``*`` and patterns do not match them.

The same cause makes the same announcement, byte for byte: its id and its time come from what it
tells about, never from a clock. Whoever reads the same records again announces nothing new.

They name no URL and hold nothing of a payload: other endpoints of the workspace get them, and the
URL of one may be a secret to the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from shared.models import ids
from shared.models.times import iso_ms

OperationalType = Literal[
    "endpoint.failing",
    "endpoint.disabled",
    "endpoint.recovered",
    "delivery.exhausted",
    "events.rejected",
]

OPERATIONAL: Final[Mapping[str, str]] = MappingProxyType(
    {
        "endpoint.failing": "A webhook keeps failing and will be disabled if that goes on",
        "endpoint.disabled": "A webhook was disabled because it failed, or answered 410",
        "endpoint.recovered": "A webhook that kept failing works again",
        "delivery.exhausted": "The last attempt to deliver an event has failed",
        "events.rejected": "An event could not be read or matched",
    }
)
"""Each operational type with its description."""

OPERATIONAL_HEADER: Final = "hooklane-operational"
_LAST_MS: Final = 253_402_300_799_999  # of the year 9999: a record may be wrong about its time


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """One operational event. ``cause`` says what of: the same type and cause are the same event."""

    type: OperationalType
    workspace_id: str
    time_ms: int
    cause: str
    data: dict[str, object]

    @property
    def id(self) -> str:
        """Return the event's id."""
        return ids.derived_id(ids.EVENT, self.time_ms, self.type, self.cause)


def time_text(time_ms: int) -> str:
    """Return a time as RFC 3339; one that has no such text is moved to the nearest that has."""
    return iso_ms(min(max(time_ms, 0), _LAST_MS))


def encode_announcement(announcement: Announcement) -> bytes:
    """Return the value of its record on ``events``: a native event."""
    return msgspec.json.encode(
        {
            "id": announcement.id,
            "type": announcement.type,
            "workspace_id": announcement.workspace_id,
            "created": time_text(announcement.time_ms),
            "data": announcement.data,
        }
    )
