"""The engine of jobs over ports in memory: whoever dies, whatever people want, in any order.

Gateways take jobs up, do pieces of them, die in the middle of one, and are overtaken, while people
pause, resume and cancel.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from services.gateway import housekeeping
from services.gateway.handlers import jobs
from services.gateway.handlers.ahead import Ahead
from shared.models.errors import Outage
from shared.models.jobs import HELD_MS, Job, Wish
from tests.support.polling import until_true
from tests.unit.services.gateway.job_world import (
    ENDPOINT,
    GONE,
    JOB,
    ROWS,
    SHORT_PAGE,
    Killed,
    World,
    meta_of_record,
)

T = TypeVar("T")

_loop = asyncio.new_event_loop()


def run(doing: Coroutine[Any, Any, T]) -> T:
    """Return what it returns; a loop for each of thousands of calls would take most of the time."""
    return _loop.run_until_complete(doing)


async def finish(world: World, holder: str = "last") -> None:
    """Let a gateway do all that there is to do, once the others' holds are over."""
    world.clock.now_ms += HELD_MS + 1
    while (job := await world.claim(holder, world.clock())) is not None:
        going: Job | None = job
        ahead = Ahead()
        while going is not None:
            going = await jobs.step(world.ports, going, ahead)


class Gateways(RuleBasedStateMachine):
    """Gateways and people around one job."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(JOB)
        self.held: dict[str, Job] = {}
        self.ahead: defaultdict[str, Ahead] = defaultdict(Ahead)
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

    metas = [meta_of_record(record) for record in world.published]
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
    turns = [meta_of_record(record).trigger.rpartition(":")[2] for record in world.published]

    assert turns[:20] == (["job_1"] * 5 + ["job_2"] * 5) * 2
    going = [job for job in world.jobs.values() if job.state == "running"]
    assert all(job.held_until_ms <= world.clock.now_ms for job in going), "free for others"


async def test_what_was_read_ahead_lasts_for_a_jobs_next_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(housekeeping, "JOB_LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(housekeeping, "JOB_TURN_S", 0.0)
    world = World(replace(JOB, rate_per_s=1_000))
    world.clock.now_ms += HELD_MS
    stopping = asyncio.Event()
    monkeypatch.setattr(jobs, "PIECE_ROWS_MAX", 5)
    task = asyncio.create_task(housekeeping.keep_working(stopping, world.ports, "gateway-1"))
    await until_true(lambda: world.jobs[JOB.id].state == "done", what="the job is done")
    stopping.set()
    await task

    assert world.pages == -(-ROWS // SHORT_PAGE)


@pytest.mark.parametrize(
    ("rate", "rows", "rest_s"), [(1, 1, 1.0), (50, 25, 0.5), (101, 50, 50 / 101), (1_000, 500, 0.5)]
)
def test_a_job_keeps_to_its_rate(rate: int, rows: int, rest_s: float) -> None:
    assert jobs.piece_rows(rate) == rows
    assert jobs.rest_s(rate, rows, 0.0) == rest_s


def test_a_piece_that_took_long_is_followed_by_a_rest_half_as_long() -> None:
    spread_s = jobs.spread_s(1_000, 500)
    assert 0 < spread_s < 0.5
    assert jobs.rest_s(1_000, 500, 2.0 + spread_s) == pytest.approx(1.0)
    assert jobs.rest_s(100, 0, 0.0) == jobs.REST_MIN_S


async def test_a_piece_is_published_in_waves_and_completely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, "WAVE_ROWS", 3)
    world = World(replace(JOB, rate_per_s=1_000))
    await finish(world)

    assert world.waves[:3] == [3, 3, SHORT_PAGE - 6]
    assert [record.value for record in world.published] == [
        b"%d" % one.attempt.offset for one in world.rows[: ROWS - GONE]
    ]


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
