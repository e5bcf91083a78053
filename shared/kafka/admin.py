"""Creating and verifying topics from the table in ``shared.topics``.

``python -m shared.kafka.admin`` does it for the environment's cluster and prints one line a topic;
it exits with 1 when an existing topic contradicts the table (fewer partitions cannot be mended
without breaking the ownership of lanes, so it is never done silently).
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from shared.config import Settings, load
from shared.kafka.cluster import Cluster
from shared.kafka.names import topic_name
from shared.models.errors import HooklaneError
from shared.topics import Topic, table

LEADERS_WITHIN_S: Final = 60.0
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
    descriptions = await _led(admin, list(rows))
    for description in descriptions:
        name = description["topic"]
        found, wanted = len(description["partitions"]), partitions_of(settings, rows[name])
        if found != wanted:
            raise TopicMismatchError(
                f"topic {name!r} has {found} partitions, the table wants {wanted}: "
                "set HOOKLANE_PARTITIONS to what exists, or use another HOOKLANE_TOPIC_PREFIX"
            )


async def _led(admin: AIOKafkaAdminClient, names: list[str]) -> list[dict[str, Any]]:
    """Return the topics' descriptions once every partition has a leader."""
    async with asyncio.timeout(LEADERS_WITHIN_S):
        while True:
            descriptions: list[dict[str, Any]] = await admin.describe_topics(names)
            partitions = [partition for found in descriptions for partition in found["partitions"]]
            if all(found["partitions"] for found in descriptions) and all(
                partition["leader"] >= 0 for partition in partitions
            ):
                return descriptions
            await asyncio.sleep(0.1)


def main() -> None:
    """Create and verify the topics of the environment's cluster."""
    try:
        created = asyncio.run(create_topics(load(os.environ)))
    except HooklaneError as error:
        sys.exit(str(error))
    except (KafkaError, TimeoutError) as error:
        sys.exit(f"Kafka does not answer, see HOOKLANE_KAFKA_BOOTSTRAP: {error!r}")
    sys.stdout.writelines(f"created {name}\n" for name in created)
    sys.stdout.write("topics are as the table wants them\n")


if __name__ == "__main__":
    main()
