"""A partition's state: its commits, its journal after a crash, and that nothing is ever lost."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from services.delivery.memory import Memory
from services.delivery.partition import (
    Commit,
    Depth,
    JournalEntry,
    Partition,
    journal_start,
)
from shared.models.attempts import Finished
from tests.unit.services.delivery.builders import finished, meta

MEMORY = 1_000


def partition(*journal: JournalEntry, start: int = 0, journal_end: int = 0) -> Partition:
    return Partition(
        0, start=start, journal=journal, journal_end=journal_end, memory=Memory(MEMORY)
    )


def entry(offset: int, delivery_offset: int, event_id: str = "evt_1") -> JournalEntry:
    return JournalEntry(offset, finished(event_id, offset=delivery_offset))


def test_the_commit_is_the_contiguous_prefix_and_where_the_journal_of_the_rest_begins() -> None:
    owned = partition(journal_end=100)
    for offset in range(4):
        assert owned.open(offset)
    owned.finish(2, 100)
    owned.finish(1, 101)
    assert owned.commit_due() == Commit(0, "100")
    owned.finish(0, 102)
    assert owned.commit_due() == Commit(3, "103")


def test_a_commit_is_due_when_only_the_journal_has_moved() -> None:
    """A black hole holds the prefix for long; what finishes behind it must be found again."""
    owned = partition(journal_end=7)
    for offset in range(3):
        owned.open(offset)
    first = owned.commit_due()
    assert first is not None
    owned.committed(first)
    assert owned.commit_due() is None
    owned.finish(2, 9)
    assert owned.commit_due() == Commit(0, "9")


def test_a_commit_that_failed_is_due_again() -> None:
    owned = partition()
    owned.open(0)
    owned.finish(0)
    assert owned.commit_due() == owned.commit_due() == Commit(1, "0")


def test_what_the_journal_knows_is_not_worked_on_again() -> None:
    owned = partition(entry(50, 12), start=10, journal_end=51)
    assert [owned.open(offset) for offset in (10, 11, 12, 13)] == [True, True, False, True]
    owned.finish(10)
    owned.finish(11)
    assert owned.commit_due() == Commit(13, "51")


def test_what_the_journal_knows_is_not_forgotten_before_it_is_read_again() -> None:
    """A second crash, before that, must find it too."""
    owned = partition(entry(50, 12), start=10, journal_end=90)
    assert owned.commit_due() == Commit(10, "50")
    owned.open(10)
    owned.finish(10, 90)
    assert owned.commit_due() == Commit(11, "50")


def test_a_journal_of_what_no_longer_exists_does_not_hold_the_floor() -> None:
    """The delivery's record may be gone from the topic, by retention."""
    owned = partition(entry(50, 12), start=10, journal_end=90)
    owned.open(20)
    owned.finish(20, 90)
    assert owned.commit_due() == Commit(21, "91")


def test_journal_entries_before_the_position_fill_the_memory_only() -> None:
    owned = partition(entry(50, 3, "evt_9"), start=10, journal_end=51)
    assert not owned.memory.is_new("wh_1", meta("evt_9"))
    assert owned.open(10)


def test_of_two_writes_the_journal_begins_with_the_one_that_is_not_finished() -> None:
    owned = partition(journal_end=7)
    owned.open(0)
    owned.open(1)
    first, second = owned.begin_writing(), owned.begin_writing()
    owned.finish(0, 8)
    owned.end_writing(second)
    assert owned.commit_due() == Commit(1, "7")
    owned.finish(1, 7)
    owned.end_writing(first)
    assert owned.commit_due() == Commit(2, "9")


def test_what_is_remembered_goes_up_to_what_was_written() -> None:
    owned = partition(journal_end=7)
    owned.open(0)
    owned.finish(0, 9)
    owned.memory.ended(entry(9, 0, "evt_9").finished)
    memory, until = owned.remembered()
    again = Partition(0, start=1, journal=[entry(10, 1, "evt_10")], journal_end=11, memory=memory)

    assert until == 10
    assert not again.open(1)
    for event_id in ("evt_9", "evt_10"):
        assert not again.memory.is_new("wh_1", meta(event_id))


def test_open_records_are_counted() -> None:
    owned = partition()
    owned.open(0)
    owned.open(1)
    owned.finish(1)
    assert owned.open_count == 1


@pytest.mark.parametrize(
    ("metadata", "end", "memory_size", "start"),
    [
        ("40", 100, 10, 40),  # all of what is needed
        ("99", 100, 10, 90),  # and enough to fill the memory
        ("5", 8, 10, 0),
        ("120", 100, 10, 90),  # the journal was cut behind our back
        ("", 100, 10, 90),  # an offset that somebody else committed
        ("nonsense", 100, 10, 90),
        ("-4", 100, 10, 90),
        ("²", 100, 10, 90),
    ],
)
def test_the_journal_is_read_from_where_the_metadata_says_or_earlier(
    metadata: str, end: int, memory_size: int, start: int
) -> None:
    assert journal_start(metadata, end, memory_size) == start


@pytest.mark.parametrize(("recent", "records"), [(1, 20), (50, 50), (500, 100), (0, 100)])
def test_a_journal_is_read_as_far_back_as_a_repeat_may_be(recent: int, records: int) -> None:
    assert Depth(least=20, recent_ms=60_000, most=100).records(recent) == records


class Copy(NamedTuple):
    """A record of ``deliveries``: which delivery, which attempt, how often parked."""

    event_id: str
    attempt: int
    parks: int


class Written(NamedTuple):
    """An attempt that is in the journal, whose offset is not finished yet."""

    done: Finished
    at: int
    began: int


ATTEMPTS_MAX = 3


class World(RuleBasedStateMachine):
    """Topics, and a worker that is killed at any point, beside a retry service that repeats itself.

    The worker here does what the engine does, in its order: what continues a delivery is written
    first, then the attempt, then the offset is finished. Between any two of these it may be killed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.deliveries: list[Copy] = []
        self.tier: list[Copy] = []
        self.attempts: list[Finished] = []
        self.committed = Commit(0, "")
        self.sent: list[Copy] = []
        self._take_over()

    @rule(event=st.integers(0, 3), repeated=st.booleans())
    def fan_out(self, event: int, repeated: bool) -> None:
        """Fan-out writes a delivery; after a crash of its own it writes it again."""
        self.deliveries += [Copy(f"evt_{event}", 1, 0)] * (2 if repeated else 1)

    @precondition(lambda self: self.tier)
    @rule(data=st.data(), repeated=st.booleans())
    def bring_back(self, data: st.DataObject, repeated: bool) -> None:
        copy = self.tier[data.draw(st.integers(0, len(self.tier) - 1))]
        if not repeated:
            self.tier.remove(copy)
        self.deliveries.append(copy)

    @rule()
    def read(self) -> None:
        if self.position == len(self.deliveries):
            return
        offset, copy = self.position, self.deliveries[self.position]
        self.position += 1
        journaled = any(done.offset == offset for done in self.attempts)
        assert self.partition.open(offset) is not journaled
        if journaled:
            return
        record = meta(copy.event_id, attempt=copy.attempt, parks=copy.parks)
        if self.partition.memory.is_new("wh_1", record):
            self.sent.append(copy)
            self.working[offset] = copy
        else:
            self.partition.finish(offset)

    @precondition(lambda self: self.working)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(["success", "failure", "parked"]),
        killed=st.sampled_from(["", "", "", "follow-up", "attempt"]),
        placed=st.booleans(),
        late=st.booleans(),
    )
    def complete(
        self, data: st.DataObject, outcome: str, killed: str, placed: bool, late: bool
    ) -> None:
        offset = data.draw(st.sampled_from(sorted(self.working)))
        copy = self.working[offset]
        final = outcome == "success" or (outcome == "failure" and copy.attempt == ATTEMPTS_MAX)
        if outcome == "parked":
            record = meta(copy.event_id, attempt=copy.attempt, parks=copy.parks)
            self.partition.memory.parked("wh_1", record)
            self.tier.append(copy._replace(parks=copy.parks + 1))
        elif not final:
            self.tier.append(Copy(copy.event_id, copy.attempt + 1, 0))
        if killed == "follow-up":
            self.kill()
            return
        del self.working[offset]
        if outcome == "parked":
            self.partition.finish(offset)
            return
        done = finished(copy.event_id, attempt=copy.attempt, final=final, offset=offset)
        began = self.partition.begin_writing()
        self.written.append(Written(done, len(self.attempts) if placed else began, began))
        self.attempts.append(done)
        if killed == "attempt":
            self.kill()
        elif not late:
            self.acknowledge(len(self.written) - 1)

    @precondition(lambda self: self.written)
    @rule(data=st.data())
    def acknowledge_any(self, data: st.DataObject) -> None:
        """The broker's answers to two streams of attempts are taken up in any order."""
        self.acknowledge(data.draw(st.integers(0, len(self.written) - 1)))

    def acknowledge(self, index: int) -> None:
        written = self.written.pop(index)
        self.partition.memory.ended(written.done)
        self.partition.finish(written.done.offset, written.at)
        self.partition.end_writing(written.began)

    @rule()
    def commit(self) -> None:
        due = self.partition.commit_due()
        if due is not None:
            self.committed = due
            self.partition.committed(due)

    @rule()
    def kill(self) -> None:
        self._take_over()

    def teardown(self) -> None:
        """Let everything run out in peace: then every delivery has ended, and all is committed."""
        while self.tier or self.working or self.written or self.position < len(self.deliveries):
            while self.written:
                self.acknowledge(0)
            while self.tier:
                self.deliveries.append(self.tier.pop(0))
            while self.position < len(self.deliveries):
                self.read()
            for offset, copy in sorted(self.working.items()):
                done = finished(copy.event_id, attempt=copy.attempt, final=True, offset=offset)
                self.attempts.append(done)
                self.partition.memory.ended(done)
                self.partition.finish(offset, len(self.attempts) - 1)
                del self.working[offset]
        self.commit()
        ended = {done.event_id for done in self.attempts if done.final}
        assert ended == {copy.event_id for copy in self.deliveries}
        assert self.committed.offset == len(self.deliveries)

    def _take_over(self) -> None:
        """Start a worker from what is committed, as the journal's reader does."""
        assert self._ahead_by_metadata() == {
            done.offset for done in self.attempts if done.offset >= self.committed.offset
        }
        start = journal_start(self.committed.metadata, len(self.attempts), MEMORY)
        self.partition = partition(
            *self._journal(start), start=self.committed.offset, journal_end=len(self.attempts)
        )
        self.position = self.committed.offset
        self.working: dict[int, Copy] = {}
        self.written: list[Written] = []

    def _ahead_by_metadata(self) -> set[int]:
        """Return what the metadata alone leads to, without the part that fills the memory."""
        start = journal_start(self.committed.metadata, len(self.attempts), 0)
        if not self.committed.metadata:
            start = 0  # nothing was ever committed
        entries = self._journal(start)
        return {one.finished.offset for one in entries} & set(
            range(self.committed.offset, len(self.deliveries))
        )

    def _journal(self, start: int) -> list[JournalEntry]:
        return [JournalEntry(at, self.attempts[at]) for at in range(start, len(self.attempts))]


World.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestWorld = World.TestCase
