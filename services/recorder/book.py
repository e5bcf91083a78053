"""What the recorder knows of the endpoints of one partition while it owns it. Pure: no I/O.

A book holds the endpoints that are failing and nothing else: whoever is not in it is healthy, so
the successes of healthy endpoints cost neither a query nor a write. That holds while the book is
``complete``. One that would grow beyond ``endpoints_max`` forgets endpoints and is not complete any
more; from then on the endpoints of each batch are looked up first (``unknown``). It is the same
count either way, only slower.

Replays: an entry remembers the offset of the record that changed it last, and ``fold`` ignores
records up to that one. Records which change nothing need no such memory: folded again from the same
state they change nothing again. So from any offset between the stored ones and the last commit,
reading again leads to the same counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from shared.models.attempts import Attempt
from shared.policy.health import (
    HEALTHY,
    NEVER,
    EndpointHealth,
    Finding,
    Health,
    Rule,
    counts,
    judge,
)

ENDPOINTS_MAX: Final = 10_000


class _Entry(NamedTuple):
    health: Health
    offset: int


_HEALTHY: Final = _Entry(HEALTHY, -1)


class Book:
    """The failing endpoints of ``partition``. ``next_offset`` is the record expected next."""

    def __init__(
        self,
        partition: int,
        next_offset: int,
        stored: Iterable[EndpointHealth] = (),
        *,
        complete: bool = True,
        endpoints_max: int = ENDPOINTS_MAX,
    ) -> None:
        self.partition = partition
        self.next_offset = next_offset
        self.complete = complete
        self._endpoints_max = endpoints_max
        self._entries: dict[str, _Entry] = {}  # the one that changed last is last
        self._rules: dict[str, Rule] = {}
        self._changed: dict[str, None] = {}
        self.learn(stored)

    def __len__(self) -> int:
        return len(self._entries)

    def learn(self, stored: Iterable[EndpointHealth]) -> None:
        """Take over what the store knows of endpoints that the book does not know.

        What was counted on another partition (there were fewer of them then) is left: successes in
        between may have gone unseen, and an endpoint must not be disabled for that.
        """
        for one in stored:
            if one.partition == self.partition:
                self._entries.setdefault(one.endpoint_id, _Entry(one.health, one.offset))

    def unknown(self, attempts: Iterable[Attempt]) -> set[str]:
        """Return the endpoints that have to be looked up before these attempts are folded."""
        if self.complete:
            return set()
        ids = {attempt.endpoint_id for attempt in attempts if counts(attempt)}
        return ids - self._entries.keys()

    def without_rule(self, attempts: Iterable[Attempt]) -> set[str]:
        """Return the endpoints with a failure whose rule is not known."""
        failing = {
            attempt.endpoint_id
            for attempt in attempts
            if attempt.status == "failed" and counts(attempt)
        }
        return failing - self._rules.keys()

    def set_rules(self, rules: Mapping[str, Rule]) -> None:
        """Take note of endpoints' rules."""
        self._rules.update(rules)

    def fold(self, offset: int, attempt: Attempt) -> Finding | None:
        """Count one attempt; records come in the order of their offsets."""
        endpoint_id = attempt.endpoint_id
        entry = self._entries.get(endpoint_id, _HEALTHY)
        if entry is _HEALTHY and attempt.status == "success":
            return None  # what almost every attempt is
        if offset <= entry.offset:
            return None
        health, finding = judge(entry.health, attempt, self._rules.get(endpoint_id, NEVER))
        if health is not entry.health:
            self._entries.pop(endpoint_id, None)
            self._entries[endpoint_id] = _Entry(health, offset)
            self._changed[endpoint_id] = None
        return finding

    def changes(self) -> list[EndpointHealth]:
        """Return what has changed since the last ``settle``."""
        return [
            EndpointHealth(endpoint_id, entry.health, self.partition, entry.offset)
            for endpoint_id in self._changed
            for entry in (self._entries[endpoint_id],)
        ]

    def settle(self, next_offset: int) -> None:
        """Take note that everything before ``next_offset`` is stored and committed.

        No record before it will be read again, so that healthy endpoints can be forgotten.
        """
        self.next_offset = next_offset
        self._changed.clear()
        healthy = [name for name, entry in self._entries.items() if not entry.health.failures]
        for endpoint_id in healthy:
            self._forget(endpoint_id)
        while len(self._entries) > self._endpoints_max:
            self._forget(next(iter(self._entries)))
            self.complete = False
        for endpoint_id in self._rules.keys() - self._entries.keys():
            del self._rules[endpoint_id]

    def _forget(self, endpoint_id: str) -> None:
        del self._entries[endpoint_id]
