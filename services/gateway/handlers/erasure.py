"""Erasing the payload of an event: what is in MongoDB goes at once, what is in Kafka by its age.

The event is marked, and nothing gives its body away any more: ``services.gateway.guarded``. Who the
receivers were and how they answered in a number stays in the log. Deliveries that are still retried
carry the body in Kafka and are sent: erasing is about what Hooklane keeps, not about what somebody
is owed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from services.gateway.auth import Caller
from services.gateway.handlers import event_log
from services.gateway.ports import Ports
from services.gateway.times import time_of
from shared.models.attempts import Attempt
from shared.models.deliveries import TRIGGER_PING
from shared.models.erasures import Erasure
from shared.storage.chunks import SLOT_MS
from shared.topics import ATTEMPTS, DEAD, DELIVERIES, EVENTS, Tiers, Topic, tier_topic


class Left(msgspec.Struct, frozen=True):
    """A topic, or all of a kind, that may have something of an event until ``gone_by_ms``."""

    topic: str
    gone_by_ms: int


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased: the mark that stands, how much of the log it was about, what is left."""

    erasure: Erasure
    attempts: int
    pending: int
    left: Sequence[Left]


async def erase(
    ports: Ports, caller: Caller, event_id: str, *, since: str | None, until: str | None
) -> Erased:
    """Erase an event's payload; repeating it takes out what was logged meanwhile.

    Raises NotFound for an event that the log does not have and that was not erased before.
    """
    since_ms, until_ms = time_of("since", since), time_of("until", until)
    found = await event_log.look_for(ports, caller, event_id, since_ms, until_ms)
    standing = await ports.erasures.get(caller.workspace_id, event_id)
    if not found.rows and standing is None:
        raise event_log.nowhere(event_id, found.searched_ms)
    rows = await event_log.attempts_of(ports, caller, event_id, found.rows)
    now_ms = ports.now_ms()
    attempts = [row.attempt for row in rows]
    erasure = await ports.erasures.erase(
        Erasure(workspace_id=caller.workspace_id, event_id=event_id, erased_ms=now_ms),
        {attempt.due_ms // SLOT_MS for attempt in attempts},
    )
    return Erased(
        erasure=erasure,
        attempts=len(attempts),
        pending=sum(one.state == "retrying" for one in event_log.deliveries_of(rows)),
        left=left_of(attempts, ports.limits.tiers, now_ms),
    )


def left_of(attempts: Iterable[Attempt], tiers: Tiers, now_ms: int) -> list[Left]:
    """Return where Kafka may have something of these attempts' event after ``now_ms``. Pure.

    A record on ``deliveries`` was there before its attempt began. It may have waited in any tier,
    parked; and a failed attempt has put one there, or with the dead letters, when it ended.
    """
    longest = max((tier_topic(tier) for tier in tiers.all), key=lambda topic: topic.retention_ms)
    gone_by_ms: dict[str, int] = {}

    def written(topic: Topic, at_ms: int, name: str = "") -> None:
        named = name or topic.name
        gone_by_ms[named] = max(gone_by_ms.get(named, 0), topic.gone_by_ms(at_ms))

    for attempt in attempts:
        ended_ms = max(attempt.started_ms, attempt.ended_ms)
        if attempt.trigger != TRIGGER_PING:
            written(EVENTS, attempt.accepted_ms or attempt.started_ms)
        written(DELIVERIES, attempt.started_ms)
        written(longest, ended_ms, "retry.*")
        written(ATTEMPTS, ended_ms)
        if attempt.final and attempt.status != "success":
            written(DEAD, ended_ms)
    return [Left(name, at_ms) for name, at_ms in gone_by_ms.items() if at_ms > now_ms]
