"""Rendering a webhook's body: once for each event and format, the same bytes on every attempt.

The envelope's member names come from the profile; everything but ``data`` is known to be plain
text, so the body is put together from bytes that are encoded once. Pure.
"""

from __future__ import annotations

from typing import Final

import msgspec

from shared.models.endpoints import PayloadFormat
from shared.models.errors import Poison
from shared.profiles.formats import in_format
from shared.profiles.profile import BodySource, Profile
from shared.rendering.javascript import RenderError, canonicalise, validate
from shared.topics import BODY_BYTES_MAX

ENVELOPE_BYTES_MAX: Final = 4_096
"""How much larger a body may be in another format than the profile's: no envelope has more, and an
event that its profile can send is not refused because an endpoint asks for more around it."""


class Envelope:
    """Renders the bodies of one profile in one format. Immutable; safe to share."""

    __slots__ = ("_bytes_max", "_javascript_stable", "_members")

    def __init__(self, profile: Profile, payload_format: PayloadFormat = "profile") -> None:
        body = in_format(profile, payload_format).body
        own = payload_format == "profile"
        self._bytes_max = BODY_BYTES_MAX if own else BODY_BYTES_MAX + ENVELOPE_BYTES_MAX
        self._javascript_stable = body.javascript_stable
        constants = "".join(
            f"{msgspec.json.encode(name).decode()}:{msgspec.json.encode(text).decode()},"
            for name, text in body.constants.items()
        )
        self._members: tuple[tuple[bytes, BodySource], ...] = tuple(
            (
                (b"," if index else b"{" + constants.encode()) + msgspec.json.encode(name) + b":",
                source,
            )
            for index, (name, source) in enumerate(body.members.items())
        )

    def render(
        self, *, event_id: str, event_type: str, created: str, workspace_id: str, data: bytes
    ) -> bytes:
        """Return the body; ``event_type`` is canonical, ``data`` a JSON text.

        Raises Poison when ``data`` is no JSON, when the profile's receivers could not verify it
        (JavaScript would alter it), or when the body exceeds ``BODY_BYTES_MAX``.
        """
        parts: list[bytes] = []
        for lead, source in self._members:
            parts.append(lead)
            if source == "data":
                parts.append(self._data(data))
            elif source == "type":
                parts.append(msgspec.json.encode(event_type))
            elif source == "id":
                parts.append(msgspec.json.encode(event_id))
            elif source == "workspace":
                parts.append(msgspec.json.encode(workspace_id))
            else:
                parts.append(msgspec.json.encode(created))
        parts.append(b"}")
        body = b"".join(parts)
        if len(body) > self._bytes_max:
            raise Poison(
                f"the body has {len(body)} bytes as rendered, {self._bytes_max} are allowed",
                field="data",
            )
        return body

    def _data(self, data: bytes) -> bytes:
        try:
            if self._javascript_stable:
                return canonicalise(data)
            validate(data)
        except RenderError as error:
            raise Poison(f"data cannot be sent: {error.reason}", field="data") from None
        return data
