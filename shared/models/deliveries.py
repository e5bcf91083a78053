"""What ``deliveries``, the retry tiers and ``deliveries.dead`` hold besides the body.

The value of such a record is the webhook's body and nothing else; all the rest travels in ONE
header, a msgpack array (six headers cost 30 % of the delivery worker). Fields are only ever
appended, with defaults, so that old records decode with new code and the other way round.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from shared.models import ids, wire
from shared.models.endpoints import PayloadFormat

META_HEADER: Final = "hooklane-delivery"
REASON_HEADER: Final = "hooklane-reason"  # on deliveries.dead: why it ended here

TRIGGER_EVENT: Final = "event"
TRIGGER_PING: Final = "ping"
TRIGGER_RESEND: Final = "resend"  # and ":" and the log row, then ":" and a mark if not the first


class DeliveryMeta(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One delivery to one endpoint; the record's key is the endpoint id.

    ``attempt`` counts from 1. ``trigger`` is ``event``, ``ping`` or ``resend:<id>`` of the row of
    the log that is sent again (``resend:<id>:<mark>`` where that is not done for the first time).
    ``revision`` is the endpoint revision that was matched: a worker whose view is older waits for
    it.
    ``accepted_ms`` is when Kafka took the event, ``due_ms`` when this attempt was to start: it is
    part of the log row's id, so it never changes. ``parks`` counts how often the record was put
    aside because its lane was full (no attempt was made then), until ``not_before_ms``.
    ``payload_format`` is what the body was rendered in: every attempt is sent and signed as that,
    also if the endpoint asks for another one by then. ``failed_ms`` is when the attempt before this
    one ended; 0 for a first one. ``workspace_revision`` is that of the workspace, as ``revision``
    is of the endpoint; 0 where nobody looked. ``traceparent`` is the place of fan-out's span in the
    event's trace (W3C Trace Context), empty where that is not sampled.
    """

    event_id: str
    event_type: str
    workspace_id: str
    attempt: int
    trigger: str
    revision: int
    accepted_ms: int
    due_ms: int
    parks: int = 0
    not_before_ms: int = 0
    payload_format: PayloadFormat = "profile"
    failed_ms: int = 0
    workspace_revision: int = 0
    traceparent: str = ""

    @property
    def wait_until_ms(self) -> int:
        """Return when a retry tier may let this record go."""
        return max(self.due_ms, self.not_before_ms)

    def row_id(self, endpoint_id: str) -> str:
        """Return the id that the row of this attempt will have in the log."""
        return ids.derived_id(
            ids.DELIVERY, self.due_ms, endpoint_id, self.event_id, self.trigger, str(self.attempt)
        )

    def identity(self, endpoint_id: str) -> tuple[str, str, str]:
        """Return what all attempts of this delivery have in common."""
        return (endpoint_id, self.event_id, self.trigger)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(DeliveryMeta)


def encode_meta(meta: DeliveryMeta) -> bytes:
    """Return the header's bytes."""
    return _encoder.encode(meta)


def decode_meta(header: bytes) -> DeliveryMeta:
    """Return the header's content; raises msgspec.DecodeError for foreign bytes."""
    return wire.decode(_decoder, header)


def meta_of(headers: Iterable[tuple[str, bytes | None]]) -> DeliveryMeta | None:
    """Return the metadata among a record's headers, or None where there is none.

    Raises msgspec.DecodeError for foreign bytes; Kafka allows a header without a value.
    """
    for name, value in headers:
        if name == META_HEADER:
            return decode_meta(value or b"")
    return None
