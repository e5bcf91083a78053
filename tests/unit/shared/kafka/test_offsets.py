"""The ledger: what may be committed, against a naive model of every history."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.kafka.offsets import Ledger


def test_only_the_contiguous_prefix_may_be_committed() -> None:
    ledger = Ledger(5)
    for offset in (5, 6, 7):
        ledger.open(offset)
    assert ledger.finish(6) == []
    assert (ledger.position, ledger.open_count) == (5, 2)
    assert ledger.finish(5) == [5, 6]
    assert (ledger.position, ledger.open_count) == (7, 1)
    assert ledger.finish(7) == [7]
    assert (ledger.position, ledger.open_count) == (8, 0)


def test_gaps_in_the_offsets_are_no_holes() -> None:
    """Compaction and transaction markers leave them."""
    ledger = Ledger(0)
    ledger.open(10)
    ledger.open(20)
    ledger.finish(10)
    assert ledger.position == 11
    ledger.finish(20)
    assert ledger.position == 21


def test_nothing_finished_moves_nothing() -> None:
    ledger = Ledger(-1)
    ledger.open(3)
    assert ledger.position == -1


@pytest.mark.parametrize("offset", [2, 3])
def test_records_are_opened_in_their_order(offset: int) -> None:
    """A record that is read twice without a rebalance would hold the position for ever."""
    ledger = Ledger(0)
    ledger.open(3)
    with pytest.raises(ValueError, match=f"offset {offset} opened after 3"):
        ledger.open(offset)


@settings(max_examples=60)
@given(data=st.data())
def test_every_history_commits_what_the_naive_model_commits(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, 5))
    steps = data.draw(st.lists(st.integers(1, 3), max_size=12))
    ledger = Ledger(start)
    unopened: list[int] = []
    opened: list[int] = []
    finished: set[int] = set()
    offset = start - 1
    for step in steps:
        offset += step
        unopened.append(offset)
    passed: list[int] = []
    while unopened or len(finished) < len(opened):
        waiting = [offset for offset in opened if offset not in finished]
        if unopened and (not waiting or data.draw(st.booleans())):
            opened.append(unopened.pop(0))
            ledger.open(opened[-1])
        else:
            done = data.draw(st.sampled_from(waiting))
            finished.add(done)
            passed += ledger.finish(done)
        first_open = next((offset for offset in opened if offset not in finished), None)
        behind = [offset for offset in opened if first_open is None or offset < first_open]
        assert ledger.position == (behind[-1] + 1 if behind else start)
        assert ledger.open_count == len(opened) - len(finished)
        assert passed == behind
