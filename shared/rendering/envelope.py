"""Rendering a webhook's body: once for each event and profile, the same bytes on every attempt.

The envelope's member names come from the profile; everything but ``data`` is known to be plain
text, so the body is put together from bytes that are encoded once. Pure.
"""

from __future__ import annotations

import msgspec

from shared.models.errors import Poison
from shared.profiles.profile import BodySource, Profile
from shared.rendering.javascript import RenderError, canonicalise, validate
from shared.topics import BODY_BYTES_MAX


class Envelope:
    """Renders the bodies of one profile. Immutable; safe to share."""

    __slots__ = ("_javascript_stable", "_members")

    def __init__(self, profile: Profile) -> None:
        self._javascript_stable = profile.body.javascript_stable
        self._members: tuple[tuple[bytes, BodySource], ...] = tuple(
            ((b"," if index else b"{") + msgspec.json.encode(name) + b":", source)
            for index, (name, source) in enumerate(profile.body.members.items())
        )

    def render(self, *, event_id: str, event_type: str, created: str, data: bytes) -> bytes:
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
            else:
                parts.append(msgspec.json.encode(created))
        parts.append(b"}")
        body = b"".join(parts)
        if len(body) > BODY_BYTES_MAX:
            raise Poison(
                f"the body has {len(body)} bytes as rendered, {BODY_BYTES_MAX} are allowed",
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
