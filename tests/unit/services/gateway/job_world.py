"""A log, Kafka, jobs and their notes in memory, for the tests of jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace

from msgspec.structs import replace

from services.gateway.ports import BodyUnavailable, Kept, Place
from shared.kafka.publisher import Position, Record
from shared.models.attempts import Attempt
from shared.models.deliveries import DeliveryMeta, meta_of
from shared.models.jobs import HELD_MS, WORKED_AT, Job, Resend, Wish, stored, wished
from shared.models.management import Endpoint
from shared.models.searches import Asked
from shared.storage.chunks import AttemptRow
from shared.storage.mongo.log_spans import Page
from tests.unit.services.gateway import fakes

ROWS = 43
SHORT_PAGE = 7
GONE = 4  # of the rows: Kafka has no body any more
ENDPOINT = Endpoint(
    id="wh_1",
    workspace_id="ws_a",
    profile="qr3",
    url="https://example.com/",
    events=("*",),
    secret="",
    secret_hint="",
    created_ms=1,
    updated_ms=1,
)
JOB = Job(
    id="job_1",
    kind="replay",
    workspace_id="ws_a",
    endpoint_id="wh_1",
    status=None,
    since_ms=0,
    until_ms=fakes.NOW_MS,
    matched=ROWS,
    created_ms=1,
    rate_per_s=10,  # a piece has five rows
)


def row(number: int) -> AttemptRow:
    attempt = Attempt(
        workspace_id="ws_a",
        endpoint_id="wh_1",
        event_id=f"evt_{number}",
        event_type="qr.scanned",
        trigger="event",
        attempt=1,
        status="failed",
        final=True,
        due_ms=1_000 * number,
        started_ms=0,
        partition=0,
        offset=number,
        revision=1,
        epoch=1,
    )
    return AttemptRow(attempt.delivery_id(), attempt)


class Killed(BaseException):
    """The gateway died just here."""


class World:
    """The log, Kafka, the jobs and their notes; ``deadly`` names the call that kills next."""

    def __init__(self, *started: Job) -> None:
        self.clock = fakes.Clock()
        self.rows = [row(number) for number in reversed(range(ROWS))]
        self.jobs = {job.id: job for job in started}
        self.notes: dict[str, Resend] = {}
        self.published: list[Record] = []
        self.pages = 0
        self.waves: list[int] = []
        self.reads: list[int] = []
        self.erased: set[str] = set()
        self.padding = b""
        self.endpoint: Endpoint | None = ENDPOINT
        self.deadly = ""
        self.death: BaseException = Killed()
        self.ports = fakes.ports(
            jobs=self,
            log=self,
            sink=self,
            job_bodies=self,
            endpoints=SimpleNamespace(get=self.endpoint_of),
            now_ms=self.clock,
        )

    def passes(self, call: str) -> None:
        if self.deadly == call:
            self.deadly = ""
            raise self.death

    async def endpoint_of(self, _: str, __: str) -> Endpoint | None:
        return self.endpoint

    async def page(self, _: str, asked: Asked) -> Page:
        self.pages += 1
        found = [one for one in self.rows if asked.before is None or one.id < asked.before]
        limit = min(asked.limit, SHORT_PAGE)
        return Page(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None)

    async def read_many(self, places: Sequence[Place]) -> list[Kept | BodyUnavailable]:
        self.passes("read")
        self.reads.append(len(places))
        return [
            BodyUnavailable("gone")
            if place.offset < GONE
            else Kept(b"%d" % place.offset + self.padding, _meta(place.event_id))
            for place in places
        ]

    async def unerased(
        self, found: Sequence[Kept | BodyUnavailable]
    ) -> list[Kept | BodyUnavailable]:
        return [
            BodyUnavailable("erased")
            if isinstance(one, Kept) and one.meta.event_id in self.erased
            else one
            for one in found
        ]

    async def publish_within(self, records: Sequence[Record], _: int) -> list[Position]:
        self.passes("publish")
        self.published += records
        self.waves.append(len(records))
        self.passes("published")
        return []

    async def claim(self, holder: str, now_ms: int) -> Job | None:
        free = [
            job
            for job in self.jobs.values()
            if job.state in WORKED_AT and job.held_until_ms <= now_ms
        ]
        self.passes("claim")
        if not free:
            return None
        first = min(free, key=lambda job: job.held_until_ms)
        return self._put(replace(first, holder=holder, held_until_ms=now_ms + HELD_MS))

    async def hold(self, job: Job, until_ms: int) -> Job | None:
        standing = self.jobs[job.id]
        if standing.holder != job.holder:
            return None
        return self._put(replace(standing, held_until_ms=until_ms))

    async def save(self, job: Job) -> Job | None:
        self.passes("save")
        return self._change(job, lambda standing: stored(standing, job))

    async def wish(self, job: Job, wish: Wish) -> Job | None:
        return self._change(job, lambda standing: wished(standing, wish))

    async def note(self, resends: Iterable[Resend]) -> list[Resend]:
        return [self.notes.setdefault(one.id, one) for one in resends]

    async def unnote(self, job: Job) -> None:
        for name, note in list(self.notes.items()):
            behind = job.before is None or name < job.before
            if note.job_id == job.id and behind:
                del self.notes[name]

    def _change(self, job: Job, change_of: Callable[[Job], Job | None]) -> Job | None:
        changed = change_of(self.jobs[job.id])
        return None if changed is None else self._put(changed)

    def _put(self, job: Job) -> Job:
        self.jobs[job.id] = job
        return job

    def sent(self) -> Counter[tuple[bytes, str]]:
        """Return how often each delivery was published: by body and trigger."""
        return Counter((one.value or b"", meta_of_record(one).trigger) for one in self.published)


def _meta(event_id: str) -> DeliveryMeta:
    return DeliveryMeta(event_id, "qr.scanned", "ws_a", 3, "event", 1, 1, 1, failed_ms=5)


def meta_of_record(record: Record) -> DeliveryMeta:
    meta = meta_of(record.headers)
    assert meta is not None
    return meta
