"""Three real brokers that are one Kafka: each partition may be on all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient

from deploy.local import ports
from deploy.local.kafka import Kafka, Variation, new_cluster_id
from shared.kafka.cluster import Cluster
from tests.support.polling import until

COUNT: Final = 3
COPIES: Final[Mapping[str, str | int]] = {
    "offsets.topic.replication.factor": COUNT,
    "transaction.state.log.replication.factor": COUNT,
    "transaction.state.log.min.isr": 2,
    "share.coordinator.state.topic.replication.factor": COUNT,
    "share.coordinator.state.topic.min.isr": 2,
}


class Brokers:
    """The three of them; any one may be killed and started again."""

    def __init__(self, state_dir: Path) -> None:
        cluster_id = new_cluster_id()
        self.all = [
            Kafka(
                state_dir / f"kafka-{number}",
                logs_dir=state_dir / f"logs-{number}",
                variation=Variation(
                    config=partial(self._config, number), format_with=(), cluster_id=cluster_id
                ),
            )
            for number in range(1, COUNT + 1)
        ]

    @property
    def cluster(self) -> Cluster:
        """What clients are made with: any of them to begin with."""
        return Cluster(bootstrap=",".join(broker.bootstrap for broker in self.all))

    async def start(self) -> None:
        """Start all of them; returns when each knows of the others."""
        await asyncio.gather(*(broker.start() for broker in self.all))
        await self.known()

    async def known(self) -> None:
        """Return when all of them are part of the cluster."""
        await until(self._count, lambda count: count == COUNT, what="three brokers", within_s=60)

    async def kill9(self) -> None:
        """End all of them."""
        await asyncio.gather(*(broker.kill9() for broker in self.all))

    async def _count(self) -> int:
        admin = AIOKafkaAdminClient(**self.cluster.client)
        await admin.start()
        try:
            return len((await admin.describe_cluster())["brokers"])
        finally:
            await admin.close()

    def _config(self, number: int, _: int, __: int) -> dict[str, str | int]:
        voters = ",".join(
            f"{place}@{ports.HOST}:{broker.controller_port}"
            for place, broker in enumerate(self.all, start=1)
        )
        return {
            "node.id": number,
            "controller.quorum.voters": voters,
            "controller.quorum.bootstrap.servers": "",
            **COPIES,
        }
