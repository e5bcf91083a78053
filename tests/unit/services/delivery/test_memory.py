"""The memory of recent deliveries: repeats are told, and nothing else is taken for one."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.delivery.memory import Memory
from tests.unit.services.delivery.builders import attempt, finished, meta


def test_a_record_is_new_once() -> None:
    memory = Memory(10)
    assert memory.is_new("wh_1", meta())
    assert not memory.is_new("wh_1", meta())


def test_deliveries_differ_by_endpoint_event_and_trigger() -> None:
    """A resend is a delivery of its own."""
    memory = Memory(10)
    assert memory.is_new("wh_1", meta())
    assert memory.is_new("wh_2", meta())
    assert memory.is_new("wh_1", meta("evt_2"))
    assert memory.is_new("wh_1", meta(trigger="resend:1"))
    assert memory.is_new("wh_1", meta(trigger="ping"))


def test_the_next_attempt_and_the_return_from_parking_are_new() -> None:
    memory = Memory(10)
    for record in (meta(), meta(parks=1), meta(parks=2)):
        assert memory.is_new("wh_1", record)
        memory.parked("wh_1", record)
    assert memory.is_new("wh_1", meta(attempt=2))
    memory.parked("wh_1", meta(attempt=2))
    assert memory.is_new("wh_1", meta(attempt=2, parks=1))


def test_a_parked_copy_is_a_repeat_once_the_attempt_was_made() -> None:
    """After a crash the original may be read and sent again while its copy waits in a tier."""
    memory = Memory(10)
    assert memory.is_new("wh_1", meta())
    memory.ended(attempt(attempt=1, final=False))
    assert not memory.is_new("wh_1", meta(parks=1))


def test_parking_is_no_news_of_an_attempt_that_is_done() -> None:
    memory = Memory(10)
    memory.ended(attempt(attempt=1, final=True))
    memory.parked("wh_1", meta())
    assert not memory.is_new("wh_1", meta(parks=1))


def test_what_was_withdrawn_before_it_was_sent_is_new_again() -> None:
    memory = Memory(10)
    for record in (meta(), meta(parks=1), meta(attempt=2)):
        assert memory.is_new("wh_1", record)
        memory.withdrawn("wh_1", record)
        assert memory.is_new("wh_1", record)
        assert not memory.is_new("wh_1", record)
        memory.parked("wh_1", record)


def test_what_was_withdrawn_is_as_far_as_it_was() -> None:
    """Its earlier attempts were made, and somebody else may have made this one meanwhile."""
    memory = Memory(10)
    memory.ended(attempt(attempt=1, final=False))
    memory.is_new("wh_1", meta(attempt=2))
    memory.withdrawn("wh_1", meta(attempt=2))
    assert not memory.is_new("wh_1", meta(attempt=1))
    memory.ended(attempt(attempt=2, final=True))
    memory.withdrawn("wh_1", meta(attempt=2))
    assert not memory.is_new("wh_1", meta(attempt=2))


def test_what_is_behind_of_what_was_seen_is_a_repeat() -> None:
    """Fan-out and retry write old records again after a crash."""
    memory = Memory(10)
    memory.is_new("wh_1", meta(attempt=2, parks=1))
    for repeat in (meta(), meta(parks=9), meta(attempt=2), meta(attempt=2, parks=1)):
        assert not memory.is_new("wh_1", repeat)


def test_an_attempt_that_is_done_is_not_made_again_but_the_next_one_is() -> None:
    memory = Memory(10)
    memory.ended(attempt(attempt=1, final=False))
    assert not memory.is_new("wh_1", meta())
    assert not memory.is_new("wh_1", meta(parks=5))
    assert memory.is_new("wh_1", meta(attempt=2))


def test_a_delivery_that_has_ended_has_no_next_attempt() -> None:
    """A second copy of attempt 1 succeeded: the retry of the first one is of no use any more."""
    memory = Memory(10)
    memory.ended(finished(attempt=1, final=True))
    assert not memory.is_new("wh_1", meta(attempt=2))


def test_late_news_of_an_earlier_attempt_changes_nothing() -> None:
    memory = Memory(10)
    memory.is_new("wh_1", meta(attempt=3))
    memory.parked("wh_1", meta(attempt=3))
    memory.ended(finished(attempt=1, final=False))
    assert memory.is_new("wh_1", meta(attempt=3, parks=1))
    memory.ended(finished(attempt=3, final=True))
    memory.ended(finished(attempt=3, final=False))
    assert not memory.is_new("wh_1", meta(attempt=4))


def test_the_last_ones_are_remembered_and_the_oldest_forgotten() -> None:
    """A forgotten delivery may be sent twice; it is never lost."""
    memory = Memory(3)
    for number in range(7):
        memory.is_new("wh_1", meta(f"evt_{number}"))
    assert not any(memory.is_new("wh_1", meta(f"evt_{number}")) for number in (4, 5, 6))
    assert memory.is_new("wh_1", meta("evt_0"))


def test_what_is_heard_of_again_counts_as_recent() -> None:
    memory = Memory(2)
    memory.is_new("wh_1", meta("evt_1"))
    memory.is_new("wh_1", meta("evt_2"))
    memory.ended(finished("evt_1"))
    memory.is_new("wh_1", meta("evt_3"))
    assert not memory.is_new("wh_1", meta("evt_1"))
    assert memory.is_new("wh_1", meta("evt_2"))


RECORDS = st.tuples(
    st.sampled_from(["evt_1", "evt_2", "evt_3"]), st.integers(1, 3), st.integers(0, 2)
)


@settings(max_examples=60)
@given(
    history=st.lists(st.tuples(st.booleans(), RECORDS, st.booleans()), max_size=25),
    size=st.integers(1, 4),
)
def test_only_what_was_seen_or_overtaken_is_called_a_repeat(
    history: list[tuple[bool, tuple[str, int, int], bool]], size: int
) -> None:
    """Against a model that forgets nothing: forgetting may let a repeat through, no more."""
    memory = Memory(size)
    seen: dict[str, set[tuple[int, int]]] = {}
    over: dict[str, int] = {}
    for is_record, (event_id, number, parks), final in history:
        if is_record:
            overtaken = any((number, parks) <= stage for stage in seen.get(event_id, ()))
            settled = number <= over.get(event_id, 0)
            record = meta(event_id, attempt=number, parks=parks)
            if memory.is_new("wh_1", record):
                memory.parked("wh_1", record)
            else:
                assert overtaken or settled
            seen.setdefault(event_id, set()).add((number, parks))
        else:
            memory.ended(finished(event_id, attempt=number, final=final))
            over[event_id] = max(over.get(event_id, 0), 99 if final else number)
        assert len(memory) <= 2 * size
