"""What erasing an event leaves in Kafka, and the one guard before every body."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import pytest

from services.gateway.guarded import GuardedBodies
from services.gateway.handlers.erasure import left_of
from services.gateway.ports import BodyAway, BodyErased, BodyUnavailable, Kept, Place
from shared.models.deliveries import DeliveryMeta
from shared.models.erasures import Erasure
from shared.models.errors import Outage
from shared.topics import DEFAULT_TIERS, Tiers
from tests.unit.services.recorder.kit import attempt

DAY_MS = 86_400_000
NOW_MS = 1_790_000_000_000
TIERS = Tiers.parse(DEFAULT_TIERS)
KEPT = Kept(
    b"{}",
    DeliveryMeta("evt_1", "qr.scanned", "ws_1", 1, "event", 1, NOW_MS, NOW_MS),
)


def left(*attempts: Any, at_ms: int = NOW_MS) -> dict[str, float]:
    """Return for how many days something is left, by topic."""
    found = left_of(attempts, TIERS, at_ms)
    return {one.topic: round((one.gone_by_ms - at_ms) / DAY_MS, 1) for one in found}


def test_a_delivery_leaves_its_body_until_retention_and_segment_are_over() -> None:
    assert left(attempt(at_ms=NOW_MS)) == {
        "events": 14.0,
        "deliveries": 14.0,
        "retry.*": 16.0,
        "attempts": 14.0,
    }


def test_a_dead_letter_stays_longest_and_what_came_last_counts() -> None:
    first = attempt("failed", at_ms=NOW_MS, final=False, accepted_ms=NOW_MS)
    last = attempt("failed", at_ms=NOW_MS + 2 * DAY_MS, attempt=2, accepted_ms=NOW_MS)

    assert left(last, first, at_ms=NOW_MS + 2 * DAY_MS) == {
        "events": 12.0,
        "deliveries": 14.0,
        "retry.*": 16.0,
        "attempts": 14.0,
        "deliveries.dead": 37.0,
    }


def test_a_ping_was_never_among_the_events_and_what_is_over_is_not_told() -> None:
    ping = attempt(at_ms=NOW_MS, trigger="ping")

    assert set(left(ping)) == {"deliveries", "retry.*", "attempts"}
    assert left(ping, at_ms=NOW_MS + 15 * DAY_MS) == {"retry.*": 1.0}


class Bodies:
    def __init__(self, found: Kept | Exception) -> None:
        self._found = found

    async def read(self, _: Place) -> Kept:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found

    async def read_many(self, places: Sequence[Place]) -> list[Kept | BodyUnavailable]:
        return [await self.read(place) for place in places]


class Marks:
    def __init__(self, *marks: Erasure, away: bool = False) -> None:
        self._marks = {(one.workspace_id, one.event_id): one for one in marks}
        self._away = away

    async def erase(self, *_: object) -> Erasure:
        raise AssertionError

    async def get(self, *_: object) -> Erasure | None:
        raise AssertionError

    async def among(self, events: Collection[tuple[str, str]]) -> list[Erasure]:
        if self._away:
            raise Outage("MongoDB does not answer")
        return [self._marks[event] for event in events if event in self._marks]


PLACE = Place(0, 0, "wh_1", "evt_1")


async def read(found: Kept | Exception, marks: Marks) -> Kept:
    guarded = GuardedBodies(Bodies(found), marks)
    return await guarded.read(PLACE)


def mark(workspace_id: str = "ws_1", event_id: str = "evt_1") -> Erasure:
    return Erasure(workspace_id=workspace_id, event_id=event_id, erased_ms=NOW_MS)


async def test_the_body_of_an_erased_event_is_not_given_away() -> None:
    with pytest.raises(BodyErased, match="erased at 2026"):
        await read(KEPT, Marks(mark()))

    others = Marks(mark(workspace_id="ws_2"), mark(event_id="evt_2"))
    assert await read(KEPT, others) == KEPT


async def test_of_many_bodies_those_of_erased_events_are_not_given_away() -> None:
    other = KEPT._replace(meta=msgspec.structs.replace(KEPT.meta, event_id="evt_2"))
    gone = BodyUnavailable("too old")

    class Mixed(Bodies):
        async def read_many(self, _: Sequence[Place]) -> list[Kept | BodyUnavailable]:
            return [KEPT, gone, other]

    found = await GuardedBodies(Mixed(KEPT), Marks(mark())).read_many([PLACE] * 3)

    assert isinstance(found[0], BodyErased)
    assert list(found[1:]) == [gone, other]


async def test_a_body_is_not_given_away_while_nobody_knows_whether_it_was_erased() -> None:
    with pytest.raises(Outage):
        await read(KEPT, Marks(away=True))


async def test_what_kafka_says_stays() -> None:
    with pytest.raises(BodyAway):
        await read(BodyAway("not now"), Marks())
