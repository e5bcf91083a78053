"""The state of one owned partition of ``deliveries``: what is open, finished and remembered. Pure.

The commit's metadata is the offset in ``attempts`` from which the journal of this partition must be
read to know everything that was finished ahead of the committed position. It is one number,
whatever is open, so Kafka's limit on metadata (4 KB) never matters.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Final, NamedTuple

from services.delivery.memory import Memory
from shared.kafka.offsets import Ledger
from shared.models.attempts import Finished

UNKNOWN: Final = -1


class Commit(NamedTuple):
    """What to commit for a partition: the next offset, and where its journal begins."""

    offset: int
    metadata: str


class Remembered(NamedTuple):
    """What is left of a partition that was given up in order.

    ``memory`` has all that ``attempts`` says before the offset ``until``.
    """

    memory: Memory
    until: int


class Depth(NamedTuple):
    """How many records of a journal are read for the memory: those of the last ``recent_ms``.

    At least ``least``, and no more than ``most``, which is the memory's size.
    """

    least: int
    recent_ms: int
    most: int

    def records(self, recent: int) -> int:
        """Return how many to read where ``recent`` are that young.

        Where none is, all may have been down for long, and nobody waits for this.
        """
        return min(max(recent, self.least), self.most) if recent else self.most


class JournalEntry(NamedTuple):
    """A record of ``attempts`` with its own offset there."""

    offset: int
    finished: Finished


class Partition:
    """An owned partition, read from ``start`` on.

    ``closing`` is set when it is to be given up: nothing more is taken from it. ``revoked`` is set
    when it is gone: nothing is committed any more. ``memory`` is of what came before ``journal``,
    if anything; it is added to.
    """

    def __init__(
        self,
        number: int,
        *,
        start: int,
        journal: Iterable[JournalEntry],
        journal_end: int,
        memory: Memory,
    ) -> None:
        self.number = number
        self.start = start
        self.closing = False
        self.revoked = False
        self.memory = memory
        self._ledger = Ledger(start)
        self._journal_end = journal_end
        self._writing: list[int] = []  # for each write under way, where the journal ended before
        # Offsets of finished deliveries, each with that of its record in attempts, or a lower one:
        self._ahead: dict[int, int] = {}  # ahead of the position
        self._known: dict[int, int] = {}  # finished by an earlier owner, and not read again yet
        self._committed: Commit | None = None
        for entry in journal:
            self.memory.ended(entry.finished)
            if entry.finished.offset >= start:
                self._known[entry.finished.offset] = entry.offset

    @property
    def position(self) -> int:
        """Return the offset before which everything is finished."""
        return max(self.start, self._ledger.position)

    @property
    def open_count(self) -> int:
        """Return how many records are open."""
        return self._ledger.open_count

    def open(self, offset: int) -> bool:
        """Note a record; False when the journal says that it is finished already."""
        self._ledger.open(offset)
        journal_offset = self._known.pop(offset, None)
        if journal_offset is None:
            return True
        self.finish(offset, journal_offset)
        return False

    def finish(self, offset: int, journal_offset: int = UNKNOWN) -> None:
        """Note that all that follows from a record is acknowledged.

        ``journal_offset`` is where its attempt was written, or before that; UNKNOWN when there was
        none to write.
        """
        self._ahead[offset] = self._journal_end if journal_offset == UNKNOWN else journal_offset
        self._journal_end = max(self._journal_end, journal_offset + 1)
        for passed in self._ledger.finish(offset):
            self._ahead.pop(passed, None)

    def remembered(self) -> Remembered:
        """Return what to open the partition with should it come back; nothing may be open."""
        return Remembered(self.memory, self._journal_end)

    def begin_writing(self) -> int:
        """Note that attempts are being written to the journal; returns what to end it with."""
        self._writing.append(self._journal_end)
        return self._journal_end

    def end_writing(self, began: int) -> None:
        """Note that what was written has been finished, too."""
        self._writing.remove(began)

    def commit_due(self) -> Commit | None:
        """Return what to commit when it differs from what was committed last."""
        position = self._ledger.position
        if position < 0:
            return None
        commit = Commit(position, str(self._journal_floor(position)))
        return None if commit == self._committed else commit

    def _journal_floor(self, position: int) -> int:
        """Return where the journal of what was finished ahead of ``position`` begins.

        Of two writes under way the later one may be finished first, so it begins before both.
        """
        read_again = (at for offset, at in self._known.items() if offset >= position)
        return min(
            chain(self._ahead.values(), read_again, self._writing), default=self._journal_end
        )

    def committed(self, commit: Commit) -> None:
        """Note that ``commit`` was acknowledged."""
        self._committed = commit


def journal_start(metadata: str, end: int, unknown: int) -> int:
    """Return the offset in ``attempts`` to read from.

    ``unknown`` is how many records before ``end`` are to be read for the memory's sake.
    """
    floor = int(metadata) if metadata.isascii() and metadata.isdigit() else end
    return max(0, min(floor, end - unknown))
