"""Producers of events, as the companies that use Hooklane write them: none of Hooklane's code.

* ``python -m tests.support.producers --bootstrap HOST:PORT --topic NAME [--compression CODEC]`` is
  a program of its own. It reads one ``Message`` a line (JSON, bytes in base64) on standard input,
  produces all of them with ``acks=all``, and prints one ``Position`` a line when the broker has
  acknowledged them. ``produce`` runs it.
* ``console_produce`` runs the console producer that comes with Apache Kafka.
* ``produce_in_transaction`` and ``produce_batch`` are for what neither of them can do:
  transactions, and bytes that no producer would write.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from deploy.local import cache, jars, java

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CODECS: Final = ("gzip", "snappy", "lz4", "zstd")
REQUEST_BYTES_MAX: Final = 64 * 1024 * 1024  # the broker shall decide what is too large
BATCH_BYTES_MAX: Final = 512 * 1024
PROGRAM_TIMEOUT_S: Final = 40.0
_LINGER_MS: Final = 5  # so that what is sent at once shares batches, which compression needs

# The broker does without this jar, so it is not among those that `deploy.local.jars` locks.
CONSOLE_JAR: Final = jars.Jar(
    "org.apache.kafka",
    "kafka-tools",
    "4.3.1",
    "62f3c5dd7aa3442d4c5bc6a95f86e2502178ea09de8e27f74d9563bf955e253c",
)

CONSOLE_PRODUCER: Final = "org.apache.kafka.tools.ConsoleProducer"

# A batch as stored (record format v2): the CRC stands at byte 17 and covers all from byte 21 on.
_CRC: Final = struct.Struct(">I")
_CRC_AT: Final = 17
_CRC_FROM: Final = 21


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record to produce. Without ``partition`` the producer chooses; ``None`` is a null."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    partition: int | None = None
    timestamp_ms: int | None = None


class Position(msgspec.Struct, frozen=True):
    """Where the broker put a record."""

    partition: int
    offset: int


async def produce(
    bootstrap: str, topic: str, messages: Iterable[Message], *, compression: str | None = None
) -> list[Position]:
    """Run the producer program and return where the messages went, in the order given."""
    arguments = ["--bootstrap", bootstrap, "--topic", topic]
    if compression is not None:
        arguments += ["--compression", compression]
    lines = b"".join(msgspec.json.encode(message) + b"\n" for message in messages)
    printed = await _run([sys.executable, "-m", __name__, *arguments], lines)
    return [msgspec.json.decode(line, type=Position) for line in printed.splitlines()]


async def console_produce(bootstrap: str, topic: str, lines: Sequence[str]) -> None:
    """Produce each line as a record without a key, with Kafka's own console producer."""
    class_path = await asyncio.to_thread(console_class_path, cache.default_dir())
    command = [
        *(java.program(), *java.flags(optimise=False)),
        *("-cp", class_path, CONSOLE_PRODUCER),
        *("--bootstrap-server", bootstrap, "--topic", topic, "--sync"),
    ]
    await _run(command, "".join(f"{line}\n" for line in lines).encode())


async def produce_in_transaction(
    bootstrap: str, topic: str, messages: Iterable[Message], *, transaction: str, commit: bool
) -> None:
    """Produce the messages in one transaction, then commit or abort it."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=transaction)
    async with producer:
        await producer.begin_transaction()
        await asyncio.gather(*[await _send(producer, topic, message) for message in messages])
        await (producer.commit_transaction() if commit else producer.abort_transaction())


async def produce_batch(
    bootstrap: str,
    topic: str,
    partition: int,
    messages: Iterable[Message],
    *,
    alter: Callable[[bytes], bytes] = bytes,
    compression: str | None = None,
) -> Position:
    """Produce the messages as ONE batch and return where its first record is.

    ``alter`` may change the batch's bytes, but not their number; the checksum is then made right
    again, so that the broker takes the batch for what it is.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=compression,
        max_batch_size=REQUEST_BYTES_MAX,
        max_request_size=REQUEST_BYTES_MAX,
    )
    async with producer:
        batch = producer.create_batch()
        for message in messages:
            batch.append(
                key=message.key,
                value=message.value,
                timestamp=message.timestamp_ms,
                headers=list(message.headers),
            )
        batch._buffer = _resealed(alter(bytes(batch._build())))
        stored = await (await producer.send_batch(batch, topic, partition=partition))
        return Position(partition, stored.offset)


def _resealed(batch: bytes) -> bytes:
    """Return the batch with the checksum of its content."""
    crc: int = calc_crc32c(batch[_CRC_FROM:])
    return batch[:_CRC_AT] + _CRC.pack(crc) + batch[_CRC_FROM:]


async def _send(producer: AIOKafkaProducer, topic: str, message: Message) -> asyncio.Future[Any]:
    sending: asyncio.Future[Any] = await producer.send(
        topic,
        message.value,
        key=message.key,
        headers=list(message.headers),
        partition=message.partition,
        timestamp_ms=message.timestamp_ms,
    )
    return sending


def console_class_path(cache_dir: Path) -> str:
    """Return the broker's class path with the console producer's jar, fetched on first use."""
    class_path = jars.ensure(cache_dir)
    jar = cache_dir / CONSOLE_JAR.file_name
    if not jar.exists():
        with cache.workshop(cache_dir) as folder:
            _fetch(CONSOLE_JAR, folder).replace(jar)
    return os.pathsep.join((class_path, str(jar)))


def _fetch(jar: jars.Jar, folder: Path) -> Path:
    from jgo.maven import MavenContext  # noqa: PLC0415 (slow to import, and only needed once)

    maven = MavenContext(repo_cache=folder, local_repos=[])
    project = maven.project(jar.group, jar.artifact).at_version(jar.version)
    fetched = Path(project.artifact().resolve())
    digest = hashlib.sha256(fetched.read_bytes()).hexdigest()
    assert digest == jar.sha256, f"{jar.file_name} came with another digest: {digest}"
    return fetched


async def _run(command: Sequence[str], given: bytes) -> bytes:
    """Run a program and return what it printed; raises AssertionError if it failed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
    )
    try:
        async with asyncio.timeout(PROGRAM_TIMEOUT_S):
            printed, complaints = await process.communicate(given)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complaints.decode(errors="replace")[-2_000:]
    return printed


async def _produce_all(bootstrap: str, topic: str, compression: str | None) -> None:
    """Do what the program does: standard input to Kafka, positions to standard output."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        compression_type=compression,
        linger_ms=_LINGER_MS,
        max_batch_size=BATCH_BYTES_MAX,
        max_request_size=REQUEST_BYTES_MAX,
    )
    async with producer:
        sending = [
            await _send(producer, topic, msgspec.json.decode(line, type=Message))
            for line in sys.stdin.buffer
        ]
        for stored in await asyncio.gather(*sending):
            position = Position(stored.partition, stored.offset)
            sys.stdout.buffer.write(msgspec.json.encode(position) + b"\n")


def main() -> None:
    """Run the producer program."""
    parser = argparse.ArgumentParser(description="Produce the messages on standard input")
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--compression", choices=CODECS)
    given = parser.parse_args()
    asyncio.run(_produce_all(given.bootstrap, given.topic, given.compression))


if __name__ == "__main__":
    main()
