"""Connecting to Kafka, however long that takes: a broker that is away is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

import structlog
from aiokafka.errors import KafkaError

from shared.kafka import refusals

RETRY_AFTER_S: Final = 0.3

_log = structlog.get_logger("kafka")


class Client(Protocol):
    """An aiokafka consumer, producer or the like."""

    async def start(self) -> None:
        """Connect."""

    async def stop(self) -> None:
        """Disconnect."""


T = TypeVar("T", bound=Client)


async def connected(make: Callable[[], T]) -> T:
    """Return a started client; ``make`` is called for each try, as a failed client is spoilt."""
    while True:
        client = make()
        try:
            await client.start()
        except (KafkaError, OSError) as error:
            refusals.tell(error)
            _log.warning("kafka_unreachable", error=repr(error))
            await client.stop()
            await asyncio.sleep(RETRY_AFTER_S)
        except asyncio.CancelledError:
            await client.stop()
            raise
        else:
            return client
