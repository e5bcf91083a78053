"""The topic table: every topic of Hooklane with its key, retention, record, writers and readers.

The table is the documentation. ``shared.kafka.admin`` creates and verifies topics from it, the
Kubernetes manifests are checked against it, and a test compares it with what the services declare.

There is one retry topic for each *delay*, never for each attempt number: with a constant delay the
order of offsets is the order of due times, so waiting for the head of a partition is exact.
Pure: no Kafka client is imported here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, Literal

import msgspec

_SECOND_MS: Final = 1_000
_MINUTE_MS: Final = 60 * _SECOND_MS
_HOUR_MS: Final = 60 * _MINUTE_MS
_DAY_MS: Final = 24 * _HOUR_MS
_UNIT_MS: Final = {"ms": 1, "s": _SECOND_MS, "m": _MINUTE_MS, "h": _HOUR_MS, "d": _DAY_MS}

BODY_BYTES_MAX: Final = 1_048_576
"""The largest rendered webhook body: the size of Kafka's default ``message.max.bytes``."""

RECORD_BYTES_MAX: Final = BODY_BYTES_MAX + 65_536
"""The largest record that Hooklane itself produces: a body, its key and its header."""

UNLIMITED: Final = -1

SEGMENT_MS: Final = 7 * _DAY_MS
"""Kafka's default of ``segment.ms``: a record goes with its segment, whose last one may be as much
younger."""

CLEANING_MS: Final = 10 * _MINUTE_MS  # how often Kafka looks for what is over, and deletes it


def duration_ms(text: str) -> int:
    """Return the milliseconds of a duration such as ``5s``, ``1m``, ``24h`` or ``250ms``.

    Raises ValueError, with the fix, for anything else and for zero.
    """
    number = text.rstrip("smhd")
    unit = _UNIT_MS.get(text[len(number) :])
    if unit is None or not number.isascii() or not number.isdigit() or int(number) == 0:
        raise ValueError(f"{text!r} is not a duration such as 5s, 1m or 24h")
    return int(number) * unit


class Tier(msgspec.Struct, frozen=True):
    """A retry topic: records wait in it for ``delay_ms``. ``name`` is the delay as text."""

    name: str
    delay_ms: int

    @property
    def topic(self) -> str:
        """Return the topic's name."""
        return f"retry.{self.name}"


DEFAULT_TIERS: Final = "5s,30s,1m,5m,15m,30m,1h,2h,5h,10h,14h,20h,24h"


class Tiers(msgspec.Struct, frozen=True):
    """The retry tiers of a deployment, shortest first."""

    all: tuple[Tier, ...]

    @classmethod
    def parse(cls, text: str) -> Tiers:
        """Return the tiers that ``text`` lists (``5s,1m,5m``), strictly growing.

        Raises ValueError, with the fix, for an empty, unordered or unreadable list.
        """
        names = [name.strip() for name in text.split(",") if name.strip()]
        tiers = tuple(Tier(name, duration_ms(name)) for name in names)
        if not tiers or any(a.delay_ms >= b.delay_ms for a, b in pairwise(tiers)):
            raise ValueError(f"{text!r}: name retry tiers from the shortest to the longest delay")
        return cls(tiers)

    def named(self, name: str) -> Tier:
        """Return the tier called ``name``; raises ValueError that lists what exists."""
        for tier in self.all:
            if tier.name == name:
                return tier
        known = ", ".join(tier.name for tier in self.all)
        raise ValueError(f"{name!r} is not a retry tier; tiers are {known}")

    def at_least(self, delay_ms: int) -> Tier:
        """Return the smallest tier that is not shorter than ``delay_ms``, else the longest."""
        return next((tier for tier in self.all if tier.delay_ms >= delay_ms), self.all[-1])

    def at_most(self, delay_ms: int) -> Tier:
        """Return the largest tier that is not longer than ``delay_ms``, else the shortest."""
        fitting = [tier for tier in self.all if tier.delay_ms <= delay_ms]
        return fitting[-1] if fitting else self.all[0]


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table.

    ``partitions`` 0 means the deployment's default count; a tier has that by ``partitions_share``.
    """

    name: str
    key: str
    value: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    partitions: int = 0
    partitions_share: int = 1
    retention_ms: int = 7 * _DAY_MS
    cleanup: Literal["delete", "compact"] = "delete"
    message_bytes_max: int = RECORD_BYTES_MAX
    timestamps: Literal["CreateTime", "LogAppendTime"] = "CreateTime"

    def gone_by_ms(self, written_ms: int) -> int:
        """Return when a record that was written then is deleted at the latest."""
        assert self.retention_ms != UNLIMITED
        return written_ms + self.retention_ms + SEGMENT_MS + CLEANING_MS


EVENTS: Final = Topic(
    name="events",
    key="producer's choice; the workspace id is advised",
    value="an event: native JSON, or CloudEvents (structured or binary)",
    writers=("producers", "gateway", "recorder"),
    readers=("fanout",),
    message_bytes_max=BODY_BYTES_MAX,
    timestamps="LogAppendTime",  # an event's time is the broker's, not a producer's clock
)
REJECTED: Final = Topic(
    name="events.rejected",
    key="as received",
    value="as received, byte for byte; headers say why, whose and where it came from",
    writers=("fanout",),
    readers=("recorder", "people"),
    retention_ms=30 * _DAY_MS,
)
ENDPOINTS: Final = Topic(
    name="endpoints",
    key="endpoint id or workspace id",
    value="models.endpoints state, JSON; tombstone on delete",
    writers=("gateway", "recorder"),
    readers=("fanout", "delivery"),
    partitions=1,  # everyone reads all of it, and one partition has one end to wait for
    retention_ms=UNLIMITED,
    cleanup="compact",
)
DELIVERIES: Final = Topic(
    name="deliveries",
    key="endpoint id",
    value="the webhook's body; models.deliveries metadata in one header",
    writers=("fanout", "gateway", "retry"),
    readers=("delivery", "gateway"),
)
ATTEMPTS: Final = Topic(
    name="attempts",
    key="endpoint id, same partition number as in deliveries",
    value="models.attempts, JSON",
    writers=("delivery",),
    readers=("delivery", "recorder", "customers"),
)
DEAD: Final = Topic(
    name="deliveries.dead",
    key="endpoint id",
    value="as deliveries, with the reason in a header",
    writers=("delivery", "retry"),
    readers=("people",),
    retention_ms=30 * _DAY_MS,
)


TIER_PARTITIONS_SHARE: Final = 4
"""Tiers wait more than they work, and there are many: they need fewer partitions."""


def tier_topic(tier: Tier) -> Topic:
    """Return the row of a retry tier; records are kept for long after they were due."""
    return Topic(
        name=tier.topic,
        key="endpoint id",
        value="as deliveries",
        writers=("delivery",),
        readers=("retry",),
        partitions_share=TIER_PARTITIONS_SHARE,
        retention_ms=2 * tier.delay_ms + 7 * _DAY_MS,
    )


def table(tiers: Tiers) -> tuple[Topic, ...]:
    """Return every topic of a deployment with these retry tiers."""
    retries = tuple(tier_topic(tier) for tier in tiers.all)
    return (EVENTS, REJECTED, ENDPOINTS, DELIVERIES, *retries, ATTEMPTS, DEAD)
