"""Batches that are broken as a whole: too large unpacked, unreadable, aborted, rotten on disk.

What can still be read is delivered, what is lost is on record in ``events.rejected``.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

from msgspec.structs import replace

from shared.models.rejected import CUT_HEADER, ORIGIN_HEADER, REASON_HEADER
from tests.support.polling import until
from tests.support.producers import Message, Position, produce_batch, produce_in_transaction
from tests.support.receivers import ScriptedReceiver
from tests.support.stack import Hooklane, KafkaRecord, Workspace

CREATED: Final = "qr.created"
PARTITION: Final = 0  # all batches of a test go to one, one behind the other
UNPACKED_BYTES: Final = 1_800_000  # of hexadecimals: zstd halves them, which is just below 1 MiB
LOST: Final = re.compile(rb"offsets (\d+) to (\d+) cannot be decoded")
ASCII_NAME: Final = b"Name-In-ASCII"
OTHER_NAME: Final = b"Name-In-\xff\xfe\xfa\xc0\x80"


def events(workspace: Workspace, *ids: str) -> list[Message]:
    """Return an event for each id."""
    return [workspace.event(CREATED, event_id) for event_id in ids]


def origin(record: KafkaRecord) -> tuple[int, int]:
    """Return partition and offset of the record that was rejected."""
    where = json.loads(dict(record.headers)[ORIGIN_HEADER] or b"{}")
    return where["partition"], where["offset"]


async def rejected_from(hooklane: Hooklane, position: Position) -> KafkaRecord:
    """Wait until the record at ``position`` has been rejected, and return the rejection."""
    where = (position.partition, position.offset)
    (record,) = await (await hooklane.topic("events.rejected")).find(
        lambda record: origin(record) == where, what=f"the rejection of {where}"
    )
    return record


async def test_what_only_its_compression_let_in_is_rejected_with_its_beginning(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    """Unpacked, the event is larger than a webhook, and than what we may write back."""
    workspace = await hooklane.workspace("qr3")
    await workspace.create(receiver.url("/"))
    text = Random(1).randbytes(UNPACKED_BYTES // 2).hex()
    large = workspace.event(CREATED, "large", {"text": text})
    before, after = events(workspace, "before", "after")
    topic = hooklane.events_topic
    position = await produce_batch(
        hooklane.bootstrap, topic, PARTITION, [before, large, after], compression="zstd"
    )
    await receiver.got("/", "after")
    record = await rejected_from(hooklane, Position(PARTITION, position.offset + 1))
    assert sorted(receiver.ids_at("/")) == ["after", "before"]
    headers = dict(record.headers)
    assert b"bytes" in (headers[REASON_HEADER] or b"")
    assert int(headers[CUT_HEADER] or b"") > UNPACKED_BYTES
    assert record.value
    assert (large.value or b"").startswith(record.value)


async def test_a_header_name_that_is_no_text_harms_nobody(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    """Kafka takes any bytes for a header's name; its record and its neighbours are delivered."""
    workspace = await hooklane.workspace("qr3")
    await workspace.create(receiver.url("/"))
    before, odd, after = events(workspace, "before", "odd", "after")
    await produce_batch(
        hooklane.bootstrap,
        hooklane.events_topic,
        PARTITION,
        [before, replace(odd, headers=((ASCII_NAME.decode(), b"1"),)), after],
        alter=lambda batch: batch.replace(ASCII_NAME, OTHER_NAME),
    )
    await receiver.got("/", "after")
    assert sorted(receiver.ids_at("/")) == ["after", "before", "odd"]


async def test_only_committed_transactions_are_delivered(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    """The events of an aborted transaction were never published."""
    workspace = await hooklane.workspace("qr3")
    await workspace.create(receiver.url("/"))
    for ids, commit in ((["a1", "a2"], False), (["c1", "c2"], True), (["a3"], False)):
        await produce_in_transaction(
            hooklane.bootstrap,
            hooklane.events_topic,
            [replace(event, partition=PARTITION) for event in events(workspace, *ids)],
            transaction="shop",
            commit=commit,
        )
    (last,) = events(workspace, "last")
    await hooklane.publish(replace(last, partition=PARTITION))
    await receiver.got("/", "last")
    assert sorted(receiver.ids_at("/")) == ["c1", "c2", "last"]
    rejected = await (await hooklane.topic("events.rejected")).read()
    assert not [record for record in rejected if record.key in {b"a1", b"a2", b"a3"}]


async def test_a_batch_that_rots_on_disk_costs_its_own_events_only(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    """A flipped bit in the middle of three batches: the loss is on record with its offsets."""
    workspace = await hooklane.workspace("qr3")
    await workspace.create(receiver.url("/"))
    with paused(hooklane, "fanout"):  # so that nothing has been read when the disk goes wrong
        positions = [
            await produce_batch(
                hooklane.bootstrap, hooklane.events_topic, PARTITION, events(workspace, *ids)
            )
            for ids in (("one", "two"), ("rotten-1", "rotten-2"), ("three", "four"))
        ]
        segment = segment_with(hooklane, b"rotten-2")
        flip(segment, b"rotten-2")
    await receiver.got("/", "four")
    first = positions[1].offset
    log = await hooklane.topic("events.rejected")

    async def lost() -> set[int]:
        reasons = [reason(record) for record in await log.read() if not record.key]
        spans = [LOST.search(text) for text in reasons]
        return {at for span in spans if span for at in range(int(span[1]), int(span[2]) + 1)}

    await until(lost, lambda offsets: {first, first + 1} <= offsets, what="the lost offsets")
    assert sorted(receiver.ids_at("/")) == ["four", "one", "three", "two"]


def reason(record: KafkaRecord) -> bytes:
    """Return why a record was rejected."""
    return dict(record.headers)[REASON_HEADER] or b""


@contextmanager
def paused(hooklane: Hooklane, name: str) -> Iterator[None]:
    """Stop a process (SIGSTOP) for the length of the block, well below its session timeout."""
    pid = hooklane.stack.children[name].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def segment_with(hooklane: Hooklane, content: bytes) -> Path:
    """Return the file of the partition's log that holds ``content``."""
    folder = hooklane.stack.dev_json.parent / "kafka" / "log"
    files = folder.glob(f"{hooklane.events_topic}-{PARTITION}/*.log")
    (found,) = [file for file in files if content in file.read_bytes()]
    return found


def flip(file: Path, content: bytes) -> None:
    """Flip one bit of the last place where ``content`` stands; the broker does not notice."""
    at = file.read_bytes().rindex(content)
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(bytes([content[0] ^ 1]))
