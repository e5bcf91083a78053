"""What the delivery log is asked for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

from shared.models.attempts import RETRY_DISCARDED, Attempt, Status
from shared.models.deliveries import TRIGGER_EVENT, TRIGGER_PING

Only = Literal["lost", "ended", "retrying"]


def is_lost(attempt: Attempt) -> bool:
    """Return whether a delivery ended with this attempt, and not well.

    A test ping is nobody's loss, nor is a retry that somebody has discarded.
    """
    return (
        attempt.final
        and attempt.status != "success"
        and attempt.trigger != TRIGGER_PING
        and attempt.reason != RETRY_DISCARDED
    )


_ONLY: Final[Mapping[Only, Callable[[Attempt], bool]]] = {
    "lost": is_lost,
    "ended": lambda attempt: attempt.final and attempt.trigger == TRIGGER_EVENT,
    "retrying": lambda attempt: not attempt.final,
}


class AttemptFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which attempts somebody looks for; None stands for any.

    ``only``: those with which a delivery was lost, those with which an event's own delivery ended,
    or those after which another one was to follow.
    """

    status: Status | None = None
    event_type: str | None = None
    event_id: str | None = None
    status_code: int | None = None
    event_types: frozenset[str] | None = None
    event_ids: frozenset[str] | None = None
    only: Only | None = None

    def takes(self, attempt: Attempt) -> bool:
        """Return whether ``attempt`` is one of them."""
        return (
            self.status in {None, attempt.status}
            and self.event_type in {None, attempt.event_type}
            and self.event_id in {None, attempt.event_id}
            and self.status_code in {None, attempt.status_code}
            and (self.event_types is None or attempt.event_type in self.event_types)
            and (self.event_ids is None or attempt.event_id in self.event_ids)
            and (self.only is None or _ONLY[self.only](attempt))
        )

    def marks(self) -> tuple[bytes, ...]:
        """Return what is in the record of each attempt that is taken, and maybe in others.

        To look for that costs a ninth of decoding a record into a row.
        """
        wanted = (self.status, self.event_type, self.event_id, self.status_code)
        return tuple(msgspec.json.encode(one) for one in wanted if one is not None)


ALL_ATTEMPTS: Final = AttemptFilter()


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the log: rows older than the delivery ``before``, newest first, due in this time.

    From ``since_ms`` on, before ``until_ms``. A page with a filter may be short although another
    one follows. A page of ``whole_seconds`` ends with a second, unless that has thousands of rows:
    it may be longer than ``limit``, and hardly a second is read twice by whoever reads on.
    """

    limit: int
    before: str | None = None
    chosen: AttemptFilter = ALL_ATTEMPTS
    since_ms: int | None = None
    until_ms: int | None = None
    whole_seconds: bool = False
