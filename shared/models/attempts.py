"""What ``attempts`` holds: one record for each attempt, the public result stream of Hooklane.

The delivery log, endpoint health, metrics and customers' own analytics all read it. It is also the
journal of the delivery workers: a record here says that its ``deliveries`` record (``partition``,
``offset``) is finished, because whatever follows from the attempt (the next retry, the dead
letter) was acknowledged before it was written. It is JSON and has no body of the request: that is
the value of the ``deliveries`` record at these coordinates.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from shared.models import ids, wire

Status = Literal["success", "failed", "discarded"]

RETRY_DISCARDED: Final = "retry_discarded"
"""The reason of what was discarded because somebody wanted no retry of it any more."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One attempt, or the discarding of a delivery without one (``status`` ``discarded``).

    Times are Unix milliseconds, durations milliseconds. ``final`` says that nothing follows:
    ``success``, ``discarded`` and a ``failed`` whose ``reason`` is ``exhausted`` or ``gone``.
    ``error`` is the kind of failure where no response came (``timeout``, ``connect``, ``tls``,
    ``dns``, ``blocked``, ``protocol``, ``closed``, ``url``) and ``error_message`` its words.
    ``request_headers`` is the header block as sent; ``response_body`` is capped and base64 in JSON.
    ``epoch`` is that of the endpoint state the attempt was made with. ``traceparent`` is the place
    of the attempt's span in the event's trace, where that is sampled.
    """

    workspace_id: str
    endpoint_id: str
    event_id: str
    event_type: str
    trigger: str
    attempt: int
    status: Status
    final: bool
    due_ms: int
    started_ms: int
    partition: int
    offset: int
    revision: int
    epoch: int
    accepted_ms: int = 0
    ended_ms: int = 0
    reason: str | None = None
    url: str | None = None
    address: str | None = None
    status_code: int | None = None
    response_time_ms: float | None = None
    error: str | None = None
    error_message: str | None = None
    request_headers: str | None = None
    response_headers: tuple[tuple[str, str], ...] = ()
    response_body: bytes = b""
    response_truncated: bool = False
    timing_ms: dict[str, float] = {}
    next_attempt_ms: int | None = None
    traceparent: str | None = None

    def delivery_id(self) -> str:
        """Return the id of this attempt's row in the log (``whd_…``), the same at each reading."""
        return _row_id(self, self.due_ms, self.attempt)

    def next_id(self) -> str | None:
        """Return the id that the next attempt's row has or will have, None after the last one."""
        if self.next_attempt_ms is None:
            return None
        return _row_id(self, self.next_attempt_ms, self.attempt + 1)

    def without_answer(self) -> Attempt:
        """Return the attempt without what the receiver said: that may repeat the payload."""
        return msgspec.structs.replace(
            self,
            response_headers=(),
            response_body=b"",
            response_truncated=False,
            error_message=None,
        )


class RowKey(msgspec.Struct, frozen=True, gc=False):
    """The part of an attempt's record that its row's id is made of; decoding skips the rest."""

    endpoint_id: str
    event_id: str
    trigger: str
    attempt: int
    due_ms: int


class Finished(msgspec.Struct, frozen=True, gc=False):
    """The part of an attempt's record that the journal needs; decoding skips the rest."""

    endpoint_id: str
    event_id: str
    trigger: str
    attempt: int
    final: bool
    offset: int


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Attempt)
_key_decoder = msgspec.json.Decoder(RowKey)
_finished_decoder = msgspec.json.Decoder(Finished)


def encode_attempt(attempt: Attempt) -> bytes:
    """Return the record's value: JSON."""
    return _encoder.encode(attempt)


def decode_attempt(value: bytes) -> Attempt:
    """Return the attempt; raises msgspec.DecodeError for foreign bytes."""
    return wire.decode(_decoder, value)


def delivery_id_in(value: bytes) -> str:
    """Return the id of a record's row in the log, at half the price of decoding all of it.

    Raises msgspec.DecodeError for foreign bytes.
    """
    key = wire.decode(_key_decoder, value)
    return _row_id(key, key.due_ms, key.attempt)


def decode_finished(value: bytes) -> Finished:
    """Return the journal's part of the record; raises msgspec.DecodeError for foreign bytes."""
    return wire.decode(_finished_decoder, value)


def _row_id(one: Attempt | RowKey, due_ms: int, attempt: int) -> str:
    return ids.derived_id(
        ids.DELIVERY, due_ms, one.endpoint_id, one.event_id, one.trigger, str(attempt)
    )
