"""Jobs: work on the delivery log that goes on after the call that asked for it.

A job is a document with a place up to which it is done. A gateway that works at it holds it for
``HELD_MS`` at a time; when that gateway dies, another one goes on from the place. So the work of
one step may be done twice, and has to bear that. Times are Unix milliseconds.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from shared.models import ids
from shared.models.attempts import Status
from shared.models.deliveries import TRIGGER_RESEND

HELD_MS: Final = 30_000

JobState = Literal["running", "done", "stopped"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The recovery of one endpoint: what failed for good in a window is sent again.

    ``status`` is that of the rows, ``failed`` or ``discarded``; ``matched`` how many there were
    when the job was made. It goes from the newest to the oldest: ``before`` is the row behind which
    it goes on. ``sent`` counts deliveries that were sent again, ``skipped`` those that another job
    has sent again before, ``unavailable`` those whose body Kafka does not have any more. ``reason``
    says why a job was stopped.
    """

    id: str
    workspace_id: str
    endpoint_id: str
    status: Status
    since_ms: int
    until_ms: int
    matched: int
    created_ms: int
    state: JobState = "running"
    reason: str | None = None
    before: str | None = None
    sent: int = 0
    skipped: int = 0
    unavailable: int = 0
    finished_ms: int | None = None
    holder: str = ""
    held_until_ms: int = 0


class Resend(msgspec.Struct, frozen=True, kw_only=True):
    """Note that a row of the log (``delivery_id``) is sent again, by which job and when."""

    delivery_id: str
    endpoint_id: str
    workspace_id: str
    event_id: str
    job_id: str
    due_ms: int

    @property
    def trigger(self) -> str:
        """Return the trigger of the delivery that it has become."""
        return f"{TRIGGER_RESEND}:{self.delivery_id}"

    def first_row_id(self) -> str:
        """Return the id in the log of its first attempt."""
        parts = (self.endpoint_id, self.event_id, self.trigger, "1")
        return ids.derived_id(ids.DELIVERY, self.due_ms, *parts)
