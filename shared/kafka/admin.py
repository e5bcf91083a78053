"""Creating and verifying topics from the table in ``shared.topics``.

``python -m shared.kafka.admin`` does it for the environment's cluster and prints one line a topic;
it exits with 1 when an existing topic contradicts the table: another number of partitions moves
lanes, so that is never done in passing. ``python -m shared.kafka.admin grow --partitions 24`` does
it, at a moment when it is safe (``growing``).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Final

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from shared.config import Settings, load
from shared.kafka.cluster import Cluster
from shared.kafka.growing import grow
from shared.kafka.leaders import led
from shared.kafka.names import topic_name
from shared.models.errors import HooklaneError
from shared.topics import Topic, table

FINISHED_WITHIN_S: Final = 300.0
COPIES_THAT_SURVIVE: Final = 3  # with so many, writing goes on while one broker is away


class TopicMismatchError(HooklaneError):
    """A topic exists, but not as the table wants it; the message names topic, value and fix."""


async def create_topics(settings: Settings) -> list[str]:
    """Create what is missing and verify the partition counts; returns the names created.

    Returns when every partition can be written to, which a busy broker needs a moment for. Raises
    TopicMismatchError when an existing topic has another number of partitions.
    """
    admin = AIOKafkaAdminClient(**Cluster.of(settings).client)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        rows = {topic_name(settings, row): row for row in table(settings.tiers)}
        missing = [name for name in rows if name not in existing]
        await _create(admin, [_new_topic(settings, name, rows[name]) for name in missing])
        await _verify(admin, settings, rows)
    finally:
        await admin.close()
    return missing


def partitions_of(settings: Settings, topic: Topic) -> int:
    """Return how many partitions ``topic`` has in this deployment."""
    return topic.partitions or max(1, settings.partitions // topic.partitions_share)


def counts_of(settings: Settings) -> dict[str, int]:
    """Return how many partitions each topic has in this deployment, by its real name."""
    return {
        topic_name(settings, row): partitions_of(settings, row) for row in table(settings.tiers)
    }


def configs_of(settings: Settings, topic: Topic) -> dict[str, str]:
    """Return the settings of ``topic`` on the broker in this deployment."""
    configs = {
        "cleanup.policy": topic.cleanup,
        "retention.ms": str(topic.retention_ms),
        "max.message.bytes": str(topic.message_bytes_max),
        "message.timestamp.type": topic.timestamps,
    }
    if topic.cleanup == "compact":
        # Readers apply every record in order; a short dirty ratio keeps start-up reads small.
        configs |= {"min.cleanable.dirty.ratio": "0.2", "delete.retention.ms": "86400000"}
    if settings.replication_factor >= COPIES_THAT_SURVIVE:
        # What we are told is written is on two brokers: one may be lost for good.
        configs["min.insync.replicas"] = "2"
    return configs


def _new_topic(settings: Settings, name: str, topic: Topic) -> NewTopic:
    return NewTopic(
        name=name,
        num_partitions=partitions_of(settings, topic),
        replication_factor=settings.replication_factor,
        topic_configs=configs_of(settings, topic),
    )


async def _create(admin: AIOKafkaAdminClient, topics: list[NewTopic]) -> None:
    if not topics:
        return
    response = await admin.create_topics(topics, timeout_ms=30_000)
    for name, code, *_ in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise TopicMismatchError(f"topic {name!r} was not created: {error.__name__}")


async def _verify(admin: AIOKafkaAdminClient, settings: Settings, rows: dict[str, Topic]) -> None:
    for name, found in (await led(admin, rows)).items():
        wanted = partitions_of(settings, rows[name])
        if found != wanted:
            raise TopicMismatchError(
                f"topic {name!r} has {found} partitions, the table wants {wanted}: "
                "set HOOKLANE_PARTITIONS to what exists, or use another HOOKLANE_TOPIC_PREFIX; "
                "for more partitions, see docs/operations.md, Topics"
            )


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    root = argparse.ArgumentParser(
        prog="python -m shared.kafka.admin",
        description="Creates what topics are missing, and verifies the others",
    )
    growing = root.add_subparsers(dest="command").add_parser(
        "grow", help="add partitions, once gateway, fanout and retry are stopped"
    )
    growing.add_argument(
        "--partitions", type=int, required=True, help="as HOOKLANE_PARTITIONS is to be"
    )
    growing.add_argument(
        "--within-s",
        type=float,
        default=FINISHED_WITHIN_S,
        help="how long delivery and recorder may take to finish (default %(default)g)",
    )
    return root


async def run(settings: Settings, given: argparse.Namespace) -> None:
    """Do what was asked for, and say what was done; raises HooklaneError and what Kafka raises."""
    if given.command == "grow":
        grown = msgspec.structs.replace(settings, partitions=given.partitions)
        await grow(grown, counts_of(grown), within_s=given.within_s, say=_say)
        return
    for name in await create_topics(settings):
        _say(f"created {name}")
    _say("topics are as the table wants them")


def main(arguments: Sequence[str] | None = None) -> None:
    """Create and verify the topics of the environment's cluster, or let them grow."""
    given = parser().parse_args(arguments)
    try:
        asyncio.run(run(load(os.environ), given))
    except HooklaneError as error:
        sys.exit(str(error))
    except (KafkaError, TimeoutError) as error:
        sys.exit(f"Kafka does not answer, see HOOKLANE_KAFKA_BOOTSTRAP: {error!r}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
