"""What is remembered, for how long, and what an outage does to it."""

import pytest

from services.gateway.cache import FRESH_MS, OUTAGE_PAUSE_MS, STALE_MS_MAX, Remembered
from shared.models.errors import Outage
from tests.unit.services.gateway.fakes import Clock


class Store:
    """Answers from a dict, or not at all."""

    def __init__(self) -> None:
        self.known = {"a": 1}
        self.away = False
        self.asked: list[str] = []

    async def find(self, key: str) -> int | None:
        self.asked.append(key)
        if self.away:
            raise Outage("away")
        return self.known.get(key)


async def test_a_fresh_answer_spares_the_look_up_and_a_stale_one_does_not() -> None:
    store, clock = Store(), Clock()
    remembered = Remembered(store.find, clock)

    assert [await remembered.get("a") for _ in range(3)] == [1, 1, 1]
    assert store.asked == ["a"]

    clock.now_ms += FRESH_MS
    store.known["a"] = 2
    assert await remembered.get("a") == 2


async def test_what_the_store_does_not_know_is_asked_for_each_time() -> None:
    store = Store()
    remembered = Remembered(store.find, Clock())

    assert await remembered.get("b") is None
    store.known["b"] = 2
    assert await remembered.get("b") == 2


async def test_what_was_removed_is_forgotten_when_it_is_looked_up_again() -> None:
    store, clock = Store(), Clock()
    remembered = Remembered(store.find, clock)
    await remembered.get("a")
    del store.known["a"]
    clock.now_ms += FRESH_MS

    assert await remembered.get("a") is None
    store.away = True
    with pytest.raises(Outage):
        await remembered.get("a")


async def test_an_outage_lets_a_stale_answer_stand_and_is_not_asked_about_at_every_call() -> None:
    store, clock = Store(), Clock()
    remembered = Remembered(store.find, clock)
    await remembered.get("a")
    store.away = True
    clock.now_ms += 10 * FRESH_MS

    assert [await remembered.get("a") for _ in range(5)] == [1] * 5
    assert store.asked == ["a", "a"]

    clock.now_ms += OUTAGE_PAUSE_MS
    store.away, store.known["a"] = False, 2
    assert await remembered.get("a") == 2


async def test_a_stale_answer_stands_for_a_day_at_most() -> None:
    store, clock = Store(), Clock()
    remembered = Remembered(store.find, clock)
    await remembered.get("a")
    store.away = True
    clock.now_ms += STALE_MS_MAX
    assert await remembered.get("a") == 1

    clock.now_ms += OUTAGE_PAUSE_MS
    with pytest.raises(Outage):
        await remembered.get("a")


async def test_what_was_forgotten_is_looked_up() -> None:
    store = Store()
    remembered = Remembered(store.find, Clock())
    await remembered.get("a")
    store.known["a"] = 2
    remembered.forget("a")
    remembered.forget("nothing")

    assert await remembered.get("a") == 2


async def test_the_least_recently_used_entry_goes_first() -> None:
    store = Store()
    store.known = {"a": 1, "b": 2, "c": 3}
    remembered = Remembered(store.find, Clock(), entries_max=2)
    for key in ("a", "b", "a", "c"):
        await remembered.get(key)
    store.asked.clear()

    await remembered.get("a")
    assert store.asked == []
    await remembered.get("b")
    assert store.asked == ["b"]
