"""Out-of-order completion inside a partition, and the offset that may be committed.

Records are opened in offset order and finish in any order; the commit position is the offset behind
the contiguous prefix of finished ones. Gaps in the offsets (compaction, transaction markers) are no
holes: only what was opened counts. Pure.
"""

from __future__ import annotations

from collections import deque


class Ledger:
    """The open and finished records of one partition, from the committed position on."""

    __slots__ = ("_finished", "_opened", "_position")

    def __init__(self, position: int) -> None:
        self._position = position
        self._opened: deque[int] = deque()
        self._finished: set[int] = set()

    @property
    def position(self) -> int:
        """Return the offset to commit: everything before it is finished."""
        return self._position

    @property
    def open_count(self) -> int:
        """Return how many opened records are not finished."""
        return len(self._opened) - len(self._finished)

    def open(self, offset: int) -> None:
        """Note that the record at ``offset`` is being worked on; offsets come in order."""
        if self._opened and offset <= self._opened[-1]:
            raise ValueError(f"offset {offset} opened after {self._opened[-1]}")
        self._opened.append(offset)

    def finish(self, offset: int) -> list[int]:
        """Note that all that follows from an opened record is acknowledged.

        Returns the offsets that the position has passed by that.
        """
        self._finished.add(offset)
        passed = []
        while self._opened and self._opened[0] in self._finished:
            done = self._opened.popleft()
            self._finished.discard(done)
            passed.append(done)
        if passed:
            self._position = passed[-1] + 1
        return passed
