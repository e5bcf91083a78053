"""Jobs: work on the delivery log that goes on after the call that asked for it. Pure.

A job is a document with a place up to which it is done. A gateway that works at it holds it for
``HELD_MS`` at a time; when that gateway dies, another one goes on from the place. So the work of
one step may be done twice, and has to bear that. People may pause, resume and cancel a job while
somebody works at it: ``wished`` and ``stored`` say what becomes of the document, whichever of the
two comes first. Times are Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from shared.models import ids
from shared.models.attempts import Status
from shared.models.deliveries import TRIGGER_RESEND
from shared.models.searches import AttemptFilter

HELD_MS: Final = 30_000
RECOVERY_RATE_PER_S: Final = 50

JobKind = Literal["recovery", "replay"]
JobState = Literal["running", "paused", "stopped", "cancelling", "cancelled", "done"]
Wish = Literal["pause", "resume", "cancel"]

WORKED_AT: Final[tuple[JobState, ...]] = ("running", "cancelling")
"""The states in which there is something to do."""

OPEN: Final[tuple[JobState, ...]] = ("running", "paused", "stopped", "cancelling")

_NEXT: Final[Mapping[tuple[JobState, Wish], JobState]] = {
    ("running", "pause"): "paused",
    ("paused", "pause"): "paused",
    ("running", "resume"): "running",
    ("paused", "resume"): "running",
    ("stopped", "resume"): "running",
    ("running", "cancel"): "cancelling",
    ("paused", "cancel"): "cancelling",
    ("stopped", "cancel"): "cancelling",
    ("cancelling", "cancel"): "cancelling",
    ("cancelled", "cancel"): "cancelled",
}


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries of the log that are sent again, from the newest to the oldest.

    A *recovery* is about what failed for good at one endpoint, a *replay* about whatever its filter
    takes: of the endpoint ``endpoint_id`` or, without one, of the whole workspace; sent to where it
    was sent before or to the endpoint ``target_id``. ``status``, ``event_types``, ``event_ids`` and
    the window narrow the rows of the log.

    ``matched`` is how many there are; while it is not ``counted``, there may be more. ``before`` is
    the row behind which the job goes on. ``sent`` counts deliveries that were sent again, ``skips``
    those that were not, by the reason, ``unavailable`` those whose body Kafka does not have any
    more. ``reason`` says why a job was stopped.
    """

    id: str
    workspace_id: str
    endpoint_id: str | None
    status: Status | None
    since_ms: int
    until_ms: int
    matched: int
    created_ms: int
    kind: JobKind = "recovery"
    target_id: str | None = None
    event_types: tuple[str, ...] = ()
    event_ids: tuple[str, ...] = ()
    rate_per_s: int = RECOVERY_RATE_PER_S
    counted: bool = True
    state: JobState = "running"
    reason: str | None = None
    before: str | None = None
    sent: int = 0
    skips: dict[str, int] = {}
    unavailable: int = 0
    finished_ms: int | None = None
    holder: str = ""
    held_until_ms: int = 0

    @property
    def skipped(self) -> int:
        """Return how many deliveries were not sent again although they could have been."""
        return sum(self.skips.values())

    @property
    def handled(self) -> int:
        """Return how many deliveries the job has dealt with."""
        return self.sent + self.skipped + self.unavailable

    def chosen(self) -> AttemptFilter:
        """Return which rows of the log it is about."""
        return AttemptFilter(
            status=self.status,
            event_types=frozenset(self.event_types) or None,
            event_ids=frozenset(self.event_ids) or None,
            only="lost" if self.kind == "recovery" else "ended",
        )


class Resend(msgspec.Struct, frozen=True, kw_only=True):
    """Note that a row of the log (``delivery_id``) is sent again, by which job and when.

    ``endpoint_id`` is where to, ``source_id`` where it was sent before if that was another one. A
    row that is sent again more than once has a ``mark`` to tell these apart; the first has none.
    """

    delivery_id: str
    endpoint_id: str
    workspace_id: str
    event_id: str
    job_id: str
    due_ms: int
    mark: str = ""
    source_id: str | None = None

    @property
    def id(self) -> str:
        """Return what there is one note of."""
        return f"{self.delivery_id}:{self.mark}" if self.mark else self.delivery_id

    @property
    def trigger(self) -> str:
        """Return the trigger of the delivery that it has become."""
        return f"{TRIGGER_RESEND}:{self.id}"

    def first_row_id(self) -> str:
        """Return the id in the log of its first attempt."""
        parts = (self.endpoint_id, self.event_id, self.trigger, "1")
        return ids.derived_id(ids.DELIVERY, self.due_ms, *parts)


def wished(job: Job, wish: Wish) -> Job | None:
    """Return the job as somebody wants it, None where its state does not allow that."""
    state = _NEXT.get((job.state, wish))
    if state is None or state == job.state:
        return None if state is None else job
    return replace(job, state=state, reason=None, finished_ms=None)


def stored(standing: Job, worked: Job) -> Job | None:
    """Return what is stored when its holder has done a step, None when it was overtaken.

    The place and the counts are the holder's, whatever people have asked for meanwhile. The state
    is theirs; but what is done is done. Who has to let go holds it no more.
    """
    if standing.holder != worked.holder:
        return None
    state = worked.state if standing.state == "running" or _is_over(worked) else standing.state
    ours = state in WORKED_AT
    return replace(
        worked,
        state=state,
        reason=worked.reason if state == worked.state else standing.reason,
        finished_ms=worked.finished_ms if state == worked.state else standing.finished_ms,
        held_until_ms=worked.held_until_ms if ours else 0,
    )


def _is_over(job: Job) -> bool:
    return job.state in ("done", "cancelled")
