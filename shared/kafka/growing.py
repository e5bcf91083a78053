"""Adding partitions to a deployment, so that no endpoint is in two lanes at once.

An endpoint's lane is with the worker that owns its partition of ``deliveries``, and which one that
is follows from the endpoint's id and from how many partitions there are. With more of them most
endpoints move, each with what is on its way to it. So the topics grow at a moment when nothing is
on its way: nobody writes ``deliveries``, and all that was written is finished and in the log.
``grow`` waits for that moment, and refuses where it does not come.

What waits in a retry tier needs no such moment: a tier's record names its endpoint and no
partition, and moves to where that endpoint is by then. ``attempts`` grows before ``deliveries``:
each partition of the one is the journal of a partition of the other. ``endpoints`` has one
partition for ever. Producers go on meanwhile: events wait in ``events``.

It may be repeated: what has grown already is left.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, NamedTuple, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.errors import GroupLoadInProgressError, KafkaError, for_code

from shared.config import Settings
from shared.kafka.cluster import Cluster
from shared.kafka.leaders import led
from shared.kafka.names import group_name, topic_name
from shared.models.errors import HooklaneError
from shared.topics import ATTEMPTS, DELIVERIES, Topic

WRITERS: Final = ("fanout", "retry")
"""The writers of ``deliveries`` that can be seen: by their groups. The gateway has none."""

FINISHERS: Final = (("delivery", DELIVERIES), ("recorder", ATTEMPTS))
"""Who has to have finished what."""

LOOK_EVERY_S: Final = 0.2
LEFT_WITHIN_S: Final = 5.0  # beyond the session's end of a static member, who does not say goodbye
OWNED_WITHIN_S: Final = 60.0
BUSY_WITHIN_S: Final = 20.0

T = TypeVar("T")


class GrowthError(HooklaneError):
    """The topics cannot grow now; the message says what stands in the way, and what to do."""


class Step(NamedTuple):
    """A topic, by its real name, and how many partitions it is to have."""

    topic: str
    partitions: int


def plan(settings: Settings, wanted: Mapping[str, int], found: Mapping[str, int]) -> list[Step]:
    """Return which topics have to grow, in that order. Pure.

    ``wanted`` and ``found`` are partition counts by the topics' real names. Raises GrowthError
    where a topic is missing, or has more partitions than it is to have.
    """
    steps = []
    turns = {topic_name(settings, ATTEMPTS): 0, topic_name(settings, DELIVERIES): 2}
    for name in sorted(wanted, key=lambda name: turns.get(name, 1)):
        if name not in found:
            raise GrowthError(
                f"topic {name!r} does not exist: create the topics first, "
                "with python -m shared.kafka.admin"
            )
        if found[name] > wanted[name]:
            raise GrowthError(
                f"topic {name!r} has {found[name]} partitions, not {wanted[name]}: "
                "Kafka can add partitions, and take none away"
            )
        if found[name] < wanted[name]:
            steps.append(Step(name, wanted[name]))
    return steps


async def grow(
    settings: Settings,
    wanted: Mapping[str, int],
    *,
    within_s: float,
    say: Callable[[str], None],
) -> None:
    """Give the topics, by their real names, so many partitions; ``say`` is told of each step.

    Returns when the delivery workers own the new partitions. Delivery and recorder have
    ``within_s`` to finish what is there. Raises GrowthError where something stands in the way, and
    KafkaError; nothing has grown then, or a part that the next call goes on from.
    """
    async with _open(settings) as deployment:
        steps = plan(settings, wanted, await deployment.counts(wanted))
        if not steps:
            say(f"nothing to do: the topics have what belongs to {settings.partitions} partitions")
            return
        await _require_delivery(deployment)
        await _until_nobody_writes(deployment, settings.session_timeout_ms / 1000 + LEFT_WITHIN_S)
        say("nobody writes deliveries (the gateway cannot be seen from here: it has to be stopped)")
        await _until_finished(deployment, within_s)
        say("all that was written is delivered or waits in a retry tier, and is in the log")
        await _until_nobody_writes(deployment, 0)  # an autoscaler may have started some
        for step in steps:
            await deployment.grow(step)
            say(f"{step.topic} has {step.partitions} partitions")
        await _until_owned(deployment)
        say(
            f"delivery workers own the new ones; set HOOKLANE_PARTITIONS={settings.partitions}, "
            "then start gateway, fanout and retry"
        )


class _Deployment:
    """What Kafka knows of the topics and groups of a deployment."""

    def __init__(
        self, settings: Settings, admin: AIOKafkaAdminClient, reader: AIOKafkaConsumer
    ) -> None:
        self._settings = settings
        self._admin = admin
        self._reader = reader

    async def counts(self, names: Iterable[str]) -> dict[str, int]:
        """Return the partition counts of those of the topics that exist."""
        return await led(self._admin, set(names) & set(await self._admin.list_topics()))

    async def members(self, service: str) -> list[str]:
        """Return the client ids of the members of a service's group."""
        return await _patiently(partial(self._members, group_name(self._settings, service)))

    async def unfinished(self, service: str, topic: Topic) -> int:
        """Return how many records that Kafka still has a service has not committed."""
        committed = await self._committed(service, topic)
        begins = await self._reader.beginning_offsets(list(committed))
        ends = await self._reader.end_offsets(list(committed))
        return sum(max(0, ends[tp] - max(offset, begins[tp])) for tp, offset in committed.items())

    async def unowned(self, service: str, topic: Topic) -> int:
        """Return how many partitions nobody has committed an offset of."""
        return sum(offset < 0 for offset in (await self._committed(service, topic)).values())

    async def grow(self, step: Step) -> None:
        """Add partitions; returns when each can be written to."""
        await self._admin.create_partitions({step.topic: NewPartitions(step.partitions)})
        await led(self._admin, [step.topic])

    async def _members(self, group: str) -> list[str]:
        members: list[str] = []
        for answer in await self._admin.describe_consumer_groups([group]):
            for code, _, _, _, _, found, *_ in answer.groups:
                if code:
                    raise for_code(code)(f"Kafka does not tell the members of {group}")
                members += (client_id for _, client_id, *_ in found)
        return sorted(members)

    async def _committed(self, service: str, topic: Topic) -> dict[TopicPartition, int]:
        """Return the committed offset of each partition, -1 where there is none."""
        name, group = topic_name(self._settings, topic), group_name(self._settings, service)
        count = (await led(self._admin, [name]))[name]
        tps = [TopicPartition(name, number) for number in range(count)]
        return await _patiently(partial(self._offsets, group, tps))

    async def _offsets(self, group: str, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        found = await self._admin.list_consumer_group_offsets(group, partitions=tps)
        if not found.keys() >= set(tps):  # the client passes over an error of the whole answer
            raise GroupLoadInProgressError(f"Kafka does not tell the offsets of {group}")
        return {tp: found[tp].offset for tp in tps}


@asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[_Deployment]:
    client = Cluster.of(settings).client
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        async with AIOKafkaConsumer(**client, enable_auto_commit=False) as reader:
            yield _Deployment(settings, admin, reader)
    finally:
        await admin.close()


async def _require_delivery(deployment: _Deployment) -> None:
    if not await deployment.members("delivery"):
        raise GrowthError(
            "no delivery worker runs: start delivery, which has to finish what is there"
        )


async def _until_nobody_writes(deployment: _Deployment, within_s: float) -> None:
    async def writers() -> list[str]:
        return [member for service in WRITERS for member in await deployment.members(service)]

    left = await _last_seen(writers, within_s)
    if left:
        raise GrowthError(
            f"{', '.join(left)} may still write deliveries: stop gateway, fanout and retry "
            "(SIGTERM, so that they commit), see that nothing starts them, and call this again"
        )


async def _until_finished(deployment: _Deployment, within_s: float) -> None:
    for service, topic in FINISHERS:
        left = await _last_seen(partial(deployment.unfinished, service, topic), within_s)
        if left:
            raise GrowthError(
                f"{service} has not finished {left} records of {topic.name!r} within "
                f"{within_s:g} s: see to {service}, and that nobody writes, and call this again"
            )


async def _until_owned(deployment: _Deployment) -> None:
    unowned = partial(deployment.unowned, "delivery", DELIVERIES)
    left = await _last_seen(unowned, OWNED_WITHIN_S)
    if left:
        raise GrowthError(
            f"no delivery worker has taken {left} of the new partitions over within "
            f"{OWNED_WITHIN_S:g} s: restart delivery before gateway, fanout and retry are started"
        )


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again while a broker is busy with itself: it starts, or another one leads now."""
    until_s = time.monotonic() + BUSY_WITHIN_S
    while True:
        try:
            return await ask()
        except KafkaError as error:
            if not error.retriable or time.monotonic() >= until_s:
                raise
        await asyncio.sleep(LOOK_EVERY_S)


async def _last_seen(look: Callable[[], Awaitable[T]], within_s: float) -> T:
    """Look until there is nothing any more, for so long, and return what was seen last."""
    until_s = time.monotonic() + within_s
    while True:
        seen = await look()
        if not seen or time.monotonic() >= until_s:
            return seen
        await asyncio.sleep(LOOK_EVERY_S)
