"""``python -m bench.replay``: what a large replay does, and what it does to what is live.

Deliveries are made and logged, then all of them are replayed while live events are published at a
steady pace. It says how long that took, whether every delivery was sent again once and with the
same bytes (read from Kafka), the live latency with the replay at work and paused, and how long
after a cancel the last one arrives. It fails where a delivery is lost, repeated or altered.

A shared machine drifts within minutes, so the replay is paused again and again, and the medians of
the windows with and without it are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer

from bench.audience import HEALTHY, Audience, spread
from bench.errors import LostError
from bench.programs import Latency, build
from bench.rig import Load, Rig, check, open_rig
from services.gateway.job_schemas import RATE_PER_S_DEFAULT
from shared.models.deliveries import TRIGGER_RESEND, meta_of
from shared.models.times import iso_ms

ENDPOINTS: Final = 20
LIVE_PER_S: Final = 100
WINDOW_S: Final = 20
QUIET_WINDOWS: Final = 8  # about so many, spread over the replay
QUICK_DELIVERIES: Final = 5_000
QUICK_WINDOW_S: Final = 5
WARM_UP_S: Final = 60.0
ARRIVE_WITHIN_S: Final = 30.0
LOOK_EVERY_S: Final = 0.05
CALM_S: Final = 2.0  # without an arrival: none follows
READ_MS: Final = 1_000


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    root = argparse.ArgumentParser(prog="python -m bench.replay", description="Measures a replay")
    root.add_argument("--deliveries", type=int, default=100_000)
    root.add_argument(
        "--rate",
        type=int,
        default=RATE_PER_S_DEFAULT,
        help="of the replay, deliveries a second (default: the API's, %(default)s)",
    )
    root.add_argument("--quick", action="store_true", help=f"{QUICK_DELIVERIES} deliveries")
    return root


class Windows(msgspec.Struct):
    """Live latencies with the replay at work, for ``busy_s`` seconds in all, and paused."""

    busy: list[Latency]
    quiet: list[Latency]
    busy_s: float


class ReplayBench:
    """A stack with a past, which is replayed."""

    def __init__(self, rig: Rig, given: argparse.Namespace) -> None:
        self._rig = rig
        self._deliveries = QUICK_DELIVERIES if given.quick else given.deliveries
        self._window_s = QUICK_WINDOW_S if given.quick else WINDOW_S
        self._rate = given.rate
        self._wanted: dict[str, Any] = {}

    async def run(self) -> None:
        """Measure and say."""
        past = await self._rig.audience("past", spread(ENDPOINTS))
        live = await self._rig.audience("live", spread(ENDPOINTS))
        types = [part.type for part in past.parts]
        since_ms = int(time.time() * 1000) - 1_000
        await self._rig.measure(past, Load(self._deliveries))
        self._wanted = {"since": iso_ms(since_ms), "event_types": types, "rate": self._rate}
        counted = await self._call("POST", "/v1/replays/preview", self._wanted)
        self._say(f"preview: {counted['matched']} ({counted['matched_is']})")
        await self._live(live, self._window_s)  # the first window finds a cold path
        job = await self._call("POST", "/v1/replays", self._wanted)
        windows = await self._in_turn(live, job["id"])
        job = await self._call("GET", f"/v1/jobs/{job['id']}")
        self._say(
            f"replay: {job['sent']} of {self._deliveries} sent in {windows.busy_s:.0f} s, "
            f"{job['skipped']} skipped, {job['unavailable']} without a body"
        )
        for name, latencies in (("at work", windows.busy), ("paused", windows.quiet)):
            p99s = " ".join(f"{one.p99 / 1e3:.0f}" for one in latencies)
            self._say(
                f"live, replay {name}: p50 {_median_ms(latencies, 'p50'):.1f} ms, "
                f"p99 {_median_ms(latencies, 'p99'):.1f} ms (medians; p99 of each window: {p99s})"
            )
        ratio = _median_ms(windows.busy, "p99") / _median_ms(windows.quiet, "p99")
        self._say(f"live p99 at work / paused: {ratio:.2f}")
        await self._cancel()
        await self._check_bodies(job["id"])

    async def _in_turn(self, live: Audience, job_id: str) -> Windows:
        """Measure with the replay at work, and now and then with it paused, until its end."""
        windows = Windows([], [], 0.0)
        every = max(1, self._deliveries // self._rate // self._window_s // QUIET_WINDOWS)
        while await self._is_running(job_id):
            began_s = time.monotonic()
            windows.busy.append(await self._live(live, self._window_s))
            windows.busy_s += time.monotonic() - began_s
            if len(windows.busy) % every == 0 and await self._is_running(job_id):
                await self._call("POST", f"/v1/jobs/{job_id}/pause")
                await asyncio.sleep(CALM_S)
                windows.quiet.append(await self._live(live, self._window_s))
                await self._call("POST", f"/v1/jobs/{job_id}/resume")
        return windows

    async def _live(self, audience: Audience, seconds: int) -> Latency:
        """Publish at a steady pace; return how long events took to arrive, each of them once."""
        run = await self._rig.begin()
        driven = await self._rig.drive(run, audience, Load(LIVE_PER_S * seconds, LIVE_PER_S))
        wanted = audience.expected(driven.events, HEALTHY)
        await self._rig.receiver.wait(HEALTHY, wanted, within_s=ARRIVE_WITHIN_S)
        report = await self._rig.receiver.report()
        check(audience, driven.events, report)
        return report.groups[HEALTHY].latency_us

    async def _is_running(self, job_id: str) -> bool:
        """Return whether the replay goes on; raises LostError where it has ended too early."""
        job = await self._call("GET", f"/v1/jobs/{job_id}")
        if job["state"] == "done" and job["sent"] == self._deliveries:
            return False
        if job["state"] != "running":
            raise LostError(f"LOST: {job}")
        return True

    async def _check_bodies(self, job_id: str) -> None:
        """Raise LostError unless each delivery was published again once, with the same bytes."""
        first: dict[tuple[bytes, str], bytes] = {}
        again: Counter[tuple[bytes, str]] = Counter()
        altered = 0
        async with self._records() as records:
            async for record in records:
                meta = meta_of(record.headers)
                if meta is None:
                    continue
                digest = blake2b(record.value).digest()
                what = (record.key, meta.event_id)
                if meta.trigger.startswith(TRIGGER_RESEND) and meta.trigger.endswith(job_id):
                    again[what] += 1
                    altered += digest != first[what]
                else:
                    first.setdefault(what, digest)
        twice = sum(count - 1 for count in again.values())
        self._say(f"bodies: {len(again)} replayed, {altered} altered, {twice} twice")
        if len(again) != self._deliveries or altered or twice:
            raise LostError("LOST, TWICE OR ALTERED")

    @asynccontextmanager
    async def _records(self) -> AsyncIterator[AsyncIterator[Any]]:
        """Open all that ``deliveries`` holds; of a key in the order in which it was published."""
        consumer = AIOKafkaConsumer(
            self._rig.topic("deliveries"),
            bootstrap_servers=self._rig.bootstrap,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            ends = await consumer.end_offsets(consumer.assignment())

            async def read() -> AsyncIterator[Any]:
                while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                    fetched = await consumer.getmany(timeout_ms=READ_MS)
                    for record in (one for some in fetched.values() for one in some):
                        yield record

            yield read()
        finally:
            await consumer.stop()

    async def _cancel(self) -> None:
        """Cancel a replay and say when its last delivery arrived."""
        await self._rig.begin()
        job = await self._call("POST", "/v1/replays", self._wanted)
        arrived = 0
        while not arrived:
            await asyncio.sleep(LOOK_EVERY_S)
            arrived = await self._arrived()
        asked_s = time.monotonic()
        await self._call("POST", f"/v1/jobs/{job['id']}/cancel")
        answered_s = last_s = time.monotonic()
        while (now_s := time.monotonic()) - last_s < CALM_S:
            found = await self._arrived()
            if found > arrived:
                arrived, last_s = found, now_s
            await asyncio.sleep(LOOK_EVERY_S)
        job = await self._call("GET", f"/v1/jobs/{job['id']}")
        self._say(
            f"cancel: answered after {(answered_s - asked_s) * 1e3:.0f} ms; the last delivery "
            f"arrived {(last_s - asked_s) * 1e3:.0f} ms after it was asked for; {job['state']} "
            f"after {job['sent']}"
        )

    async def _arrived(self) -> int:
        """Return what has come that is of no live run."""
        return (await self._rig.receiver.report()).strays

    async def _call(self, method: str, path: str, body: object = None) -> Any:
        answer = await self._rig.client().request(method, path, json=body)
        answer.raise_for_status()
        return answer.json()

    def _say(self, text: str) -> None:
        self._rig.say(text)


def _median_ms(latencies: Sequence[Latency], name: str) -> float:
    return float(statistics.median(getattr(one, name) for one in latencies)) / 1000


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


async def run(given: argparse.Namespace) -> None:
    """Measure on a stack of its own."""
    build()
    async with open_rig(say=say, warm_up_s=WARM_UP_S, counts={}) as rig:
        await ReplayBench(rig, given).run()


if __name__ == "__main__":
    asyncio.run(run(parser().parse_args()))
