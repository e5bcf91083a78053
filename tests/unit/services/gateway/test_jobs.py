"""The engine of jobs over ports in memory: whoever dies, whatever people want, in any order.

Gateways take jobs up, do pieces of them, die in the middle of one, and are overtaken, while people
pause, resume and cancel.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from services.gateway import housekeeping
from services.gateway.handlers import jobs
from services.gateway.ports import BodyUnavailable, Kept, Place
from shared.kafka.publisher import Position, Record
from shared.models.attempts import Attempt
from shared.models.deliveries import DeliveryMeta, meta_of
from shared.models.errors import Outage
from shared.models.jobs import HELD_MS, WORKED_AT, Job, Resend, Wish, stored, wished
from shared.models.management import Endpoint
from shared.models.searches import Asked
from shared.storage.chunks import AttemptRow
from shared.storage.mongo.log_spans import Page
from tests.support.polling import until_true
from tests.unit.services.gateway import fakes

T = TypeVar("T")

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
        found = [one for one in self.rows if asked.before is None or one.id < asked.before]
        limit = min(asked.limit, SHORT_PAGE)
        return Page(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None)

    async def read_many(self, places: Sequence[Place]) -> list[Kept | BodyUnavailable]:
        self.passes("read")
        return [
            BodyUnavailable("gone")
            if place.offset < GONE
            else Kept(b"%d" % place.offset, _meta(place.event_id))
            for place in places
        ]

    async def publish_within(self, records: Sequence[Record], _: int) -> list[Position]:
        self.passes("publish")
        self.published += records
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
        return Counter((one.value or b"", _meta_of(one).trigger) for one in self.published)


def _meta(event_id: str) -> DeliveryMeta:
    return DeliveryMeta(event_id, "qr.scanned", "ws_a", 3, "event", 1, 1, 1, failed_ms=5)


def _meta_of(record: Record) -> DeliveryMeta:
    meta = meta_of(record.headers)
    assert meta is not None
    return meta


_loop = asyncio.new_event_loop()


def run(doing: Coroutine[Any, Any, T]) -> T:
    """Return what it returns; a loop for each of thousands of calls would take most of the time."""
    return _loop.run_until_complete(doing)


async def finish(world: World, holder: str = "last") -> None:
    """Let a gateway do all that there is to do, once the others' holds are over."""
    world.clock.now_ms += HELD_MS + 1
    while (job := await world.claim(holder, world.clock())) is not None:
        going: Job | None = job
        ahead = jobs.Ahead()
        while going is not None:
            going = await jobs.step(world.ports, going, ahead)


class Gateways(RuleBasedStateMachine):
    """Gateways and people around one job."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(JOB)
        self.held: dict[str, Job] = {}
        self.ahead: defaultdict[str, jobs.Ahead] = defaultdict(jobs.Ahead)
        self.names = iter(range(1_000_000))
        self.deaths = 0

    @property
    def job(self) -> Job:
        return self.world.jobs[JOB.id]

    @rule()
    def somebody_claims(self) -> None:
        name = f"gateway-{next(self.names)}"
        job = run(self.world.claim(name, self.world.clock()))
        if job is not None:
            self.held[name] = job

    @precondition(lambda self: self.held)
    @rule(data=st.data(), deadly=st.sampled_from(["", "", "read", "publish", "published", "save"]))
    def somebody_does_a_piece(self, data: st.DataObject, deadly: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.held)))
        published, state = len(self.world.published), self.job.state
        ours = self.job.holder == name
        self.world.deadly = deadly
        try:
            job = run(jobs.step(self.world.ports, self.held[name], self.ahead[name]))
        except Killed:
            job = None
            self.deaths += 1
        self.world.deadly = ""
        if job is None:
            del self.held[name]
        else:
            self.held[name] = job
        if state != "running" or not ours:
            assert len(self.world.published) == published, "neither unasked nor overtaken"
        assert len(self.world.published) - published <= jobs.piece_rows(JOB.rate_per_s)

    @rule(wish=st.sampled_from(["pause", "resume", "pause", "resume", "cancel"]))
    def somebody_wishes(self, wish: Wish) -> None:
        run(self.world.wish(self.job, wish))

    @rule(ahead_ms=st.sampled_from([1, HELD_MS + 1]))
    def time_passes(self, ahead_ms: int) -> None:
        self.world.clock.now_ms += ahead_ms

    @rule(paused=st.sampled_from([False, False, True]))
    def the_webhook_is_paused_or_not(self, paused: bool) -> None:
        self.world.endpoint = replace(ENDPOINT, paused_ms=1 if paused else None)

    @invariant()
    def nothing_is_counted_twice(self) -> None:
        assert self.job.handled <= ROWS

    @invariant()
    def repeats_are_recognisable_and_come_from_deaths_only(self) -> None:
        sent = self.world.sent()
        assert len(sent) == len({body for body, _ in sent}), "one identity for each row"
        repeats = sent.total() - len(sent)
        assert repeats <= self.deaths * jobs.piece_rows(JOB.rate_per_s)

    def teardown(self) -> None:
        self.world.endpoint = ENDPOINT
        cancelled = self.job.state in ("cancelling", "cancelled")
        run(self.world.wish(self.job, "resume"))
        run(finish(self.world))
        if cancelled:
            assert self.job.state == "cancelled"
            return
        assert self.job.state == "done"
        assert (self.job.sent, self.job.unavailable) == (ROWS - GONE, GONE)
        assert {body for body, _ in self.world.sent()} == {
            b"%d" % number for number in range(GONE, ROWS)
        }


TestGateways = Gateways.TestCase
TestGateways.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


async def test_what_is_sent_again_is_a_first_attempt_with_the_same_body() -> None:
    world = World(JOB)
    await finish(world)

    metas = [_meta_of(record) for record in world.published]
    assert {(meta.attempt, meta.failed_ms, meta.parks) for meta in metas} == {(1, 0, 0)}
    assert {meta.trigger for meta in metas} == {
        f"resend:{one.id}:job_1" for one in world.rows[: ROWS - GONE]
    }


async def test_two_replays_send_twice_but_two_recoveries_once() -> None:
    replays = World(JOB, replace(JOB, id="job_2"))
    await finish(replays)
    recoveries = World(*(replace(JOB, id=name, kind="recovery") for name in ("job_1", "job_2")))
    await finish(recoveries)

    assert replays.sent().total() == len(replays.sent()) == 2 * (ROWS - GONE)
    assert recoveries.sent().total() == ROWS - GONE
    assert {job.skips.get(jobs.SENT_BEFORE, 0) for job in recoveries.jobs.values()} == {
        0,
        ROWS - GONE,
    }


async def test_a_recovery_that_is_cancelled_leaves_what_it_has_not_sent_to_others() -> None:
    first, second = (replace(JOB, id=name, kind="recovery") for name in ("job_1", "job_2"))
    world = World(first)
    held = await world.claim("gateway-1", world.clock())
    assert held is not None
    world.deadly = "publish"
    with pytest.raises(Killed):
        await jobs.step(world.ports, held)
    await world.wish(first, "cancel")
    await finish(world)
    world.jobs["job_2"] = second
    await finish(world)

    assert (world.jobs["job_1"].state, world.jobs["job_2"].sent) == ("cancelled", ROWS - GONE)


async def test_a_replay_of_a_workspace_passes_over_webhooks_that_take_nothing() -> None:
    everything = replace(JOB, endpoint_id=None)
    world = World(everything)
    world.ports = replace(world.ports, search=world)
    world.endpoint = replace(ENDPOINT, active=False)
    await finish(world)

    done = world.jobs[JOB.id]
    assert (done.state, done.sent, done.skips) == ("done", 0, {"webhook_disabled": ROWS})


@pytest.mark.parametrize(
    ("wish", "state"), [("pause", "paused"), ("cancel", "cancelled"), ("resume", "running")]
)
async def test_what_people_want_counts_from_the_next_piece_on(wish: Wish, state: str) -> None:
    world = World(JOB)
    job = await world.claim("gateway-1", world.clock())
    assert job is not None
    job = await jobs.step(world.ports, job)
    assert job is not None
    sent = len(world.published)
    await world.wish(job, wish)
    going = await jobs.step(world.ports, job)

    assert world.jobs[JOB.id].state == state
    assert (going is not None, len(world.published) > sent) == (wish == "resume",) * 2
    assert (world.jobs[JOB.id].held_until_ms == 0) == (wish != "resume"), "free for anybody"


async def test_what_was_read_ahead_for_another_place_is_read_again() -> None:
    world, ahead = World(JOB), jobs.Ahead()
    first, place = await ahead.take(world.ports, JOB, 2)
    _, _ = await ahead.take(world.ports, replace(JOB, before=place), 2)

    assert await ahead.take(world.ports, JOB, 2) == (first, place)


async def test_an_outage_leaves_the_piece_undone() -> None:
    world = World(JOB)
    held = await world.claim("gateway-1", world.clock())
    assert held is not None

    async def away(*_: object) -> None:
        raise Outage("Kafka does not answer")

    ports = replace(world.ports, sink=SimpleNamespace(publish_within=away))
    with pytest.raises(Outage):
        await jobs.step(ports, held)

    assert (world.jobs[JOB.id].before, world.jobs[JOB.id].sent) == (None, 0)


async def test_a_gateway_with_more_jobs_than_it_works_at_takes_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(housekeeping, "JOB_LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(housekeeping, "JOB_TURN_S", 0.0)
    monkeypatch.setattr(housekeeping, "JOBS_AT_ONCE", 1)
    monkeypatch.setattr(jobs, "PIECE_ROWS_MAX", 5)
    fast = replace(JOB, rate_per_s=1_000)
    world = World(*(replace(fast, id=name) for name in ("job_1", "job_2")))
    world.clock.now_ms += HELD_MS
    stopping = asyncio.Event()

    def ticking() -> int:
        """No two turns begin at the same time, or either job may have waited the longest."""
        world.clock.now_ms += 1
        return world.clock.now_ms

    def half_done() -> bool:
        return min(job.sent for job in world.jobs.values()) >= ROWS // 2

    ports = replace(world.ports, now_ms=ticking)
    task = asyncio.create_task(housekeeping.keep_working(stopping, ports, "gateway-1"))
    await until_true(half_done, what="both jobs half done")
    stopping.set()
    await task
    turns = [_meta_of(record).trigger.rpartition(":")[2] for record in world.published]

    assert turns[:20] == (["job_1"] * 5 + ["job_2"] * 5) * 2
    going = [job for job in world.jobs.values() if job.state == "running"]
    assert all(job.held_until_ms <= world.clock.now_ms for job in going), "free for others"


@pytest.mark.parametrize(
    ("rate", "rows", "rest_s"), [(1, 1, 1.0), (50, 25, 0.5), (101, 50, 50 / 101), (1_000, 500, 0.5)]
)
def test_a_job_keeps_to_its_rate(rate: int, rows: int, rest_s: float) -> None:
    assert jobs.piece_rows(rate) == rows
    assert jobs.rest_s(rate, rows, 0.0) == rest_s


def test_a_piece_that_took_long_is_followed_by_a_rest_half_as_long() -> None:
    assert jobs.rest_s(1_000, 500, 2.0) == 1.0
    assert jobs.rest_s(100, 0, 0.0) == jobs.REST_MIN_S


async def test_a_fault_while_jobs_are_looked_for_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(housekeeping, "JOB_LOOK_EVERY_S", 0.001)
    world = World(JOB)
    world.clock.now_ms += HELD_MS
    world.deadly, world.death = "claim", ValueError("of ours")
    stopping = asyncio.Event()
    task = asyncio.create_task(housekeeping.keep_working(stopping, world.ports, "gateway-1"))
    await until_true(lambda: world.jobs[JOB.id].holder != "", what="the job is taken up")
    stopping.set()
    await task

    assert world.deadly == "", "it has happened"
