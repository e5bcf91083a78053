"""Poison: nothing that a producer writes stops the events around it, and nothing of it is lost.

Whatever cannot be delivered is in ``events.rejected``, byte for byte, with a reason and its origin.
"""

from __future__ import annotations

import json
from random import Random

import pytest

from shared.models.rejected import ORIGIN_HEADER, OUR_HEADERS, REASON_HEADER, WORKSPACE_HEADER
from tests.e2e.poison import bad_cases, good_cases
from tests.support.polling import until, until_true
from tests.support.producers import CODECS, produce
from tests.support.receivers import ScriptedReceiver
from tests.support.stack import Hooklane, KafkaRecord


def added(record: KafkaRecord) -> dict[str, bytes | None]:
    """Return the headers that Hooklane put on a rejected record."""
    return {name: value for name, value in record.headers if name in OUR_HEADERS}


@pytest.mark.parametrize("codec", [None, *CODECS])
async def test_bad_events_are_kept_aside_and_the_good_ones_among_them_arrive(
    hooklane: Hooklane, receiver: ScriptedReceiver, codec: str | None
) -> None:
    """All forms of bad and good records, mixed in the same batches, with every compression."""
    run = codec or "none"
    workspace = await hooklane.workspace("qr3")
    await workspace.create(receiver.url("/"))
    good, bad = good_cases(run, workspace.id), bad_cases(run, workspace.id)
    messages = [*good.values(), *bad.values()]
    Random(run).shuffle(messages)
    await produce(hooklane.bootstrap, hooklane.events_topic, messages, compression=codec)

    await until_true(
        lambda: set(good) - set(receiver.ids_at("/")),
        lambda missing: not missing,
        what="every good event (missing)",
    )
    log = await hooklane.topic("events.rejected")

    async def missing() -> set[bytes]:
        return set(bad) - {record.key for record in await log.read()}

    await until(missing, lambda keys: not keys, what="every bad event (missing)")
    rejected = [record for record in await log.read() if record.key in bad]
    assert sorted(receiver.ids_at("/")) == sorted(good)
    assert sorted(record.key or b"" for record in rejected) == sorted(bad)
    for record in rejected:
        sent = bad[record.key or b""]
        assert record.value == sent.value, record.key
        assert record.headers[: -len(added(record))] == sent.headers, record.key
        assert added(record)[REASON_HEADER], record.key
        origin = json.loads(added(record)[ORIGIN_HEADER] or b"")
        assert origin["topic"] == hooklane.events_topic

    async def shown() -> int:
        return len((await workspace.call("GET", "/v1/rejected-events?limit=100"))["data"])

    theirs = [record for record in rejected if WORKSPACE_HEADER in added(record)]
    assert 0 < len(theirs) < len(rejected)
    await until(shown, lambda found: found == len(theirs), what="the workspace's own in the API")
