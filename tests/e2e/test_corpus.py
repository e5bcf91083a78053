"""Thousands of hostile documents, to the guides' own receivers: nobody refuses a signature.

QR3's Express sample verifies over the body that JavaScript has parsed and serialised again, so each
body has to survive that to the byte. What cannot survive it is kept aside with a reason; no event
is lost, none comes twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import pytest
from standardwebhooks import Webhook

from shared.rendering.javascript import RenderError, canonicalise
from tests.support.json_corpus import documents
from tests.support.polling import until
from tests.support.producers import CODECS, Message, produce
from tests.support.receivers import Received, ScriptedReceiver
from tests.support.samples import Sample, python_sample, qr3_sample, running, xqr_sample
from tests.support.stack import Hooklane, Workspace

SEED: Final = 20260315
DOCUMENTS: Final = 5_000
SECRET: Final = "my-secret-key-min-16-chars"
STANDARD_SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TYPES: Final[Mapping[str, Sequence[str]]] = {
    "qr3": ("qr.scanned", "qr.created", "scan.created", "qr.updated", "workspace.updated"),
    "xqr": ("link.created", "link.scanned", "link.deleted"),
    "standard": ("user.created", "invoice.paid"),
}
WITHIN_S: Final = 60.0  # for each quarter
LOOK_EVERY_S: Final = 0.3  # a look is three requests and a read of a topic

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]


class Workspaces(NamedTuple):
    """One workspace of each guide."""

    qr3: Workspace
    xqr: Workspace
    standard: Workspace


class Outcome(NamedTuple):
    """What arrived where, and the ids of the events that were kept aside, with the reasons."""

    express: Sequence[Received]
    python: Sequence[Received]
    xqr: Sequence[Received]
    standard: Sequence[Received]
    rejected: Mapping[str, bytes]


def refused_by_javascript(raw: bytes) -> bool:
    """Return whether JavaScript would alter the document."""
    try:
        canonicalise(raw)
    except RenderError:
        return True
    return False


async def test_every_document_is_accepted_by_the_samples_or_rejected_with_a_reason(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    """Each event arrives exactly once, or is rejected because JavaScript would alter it."""
    corpus = list(documents(SEED, DOCUMENTS))
    refused = {number for number, raw in enumerate(corpus) if refused_by_javascript(raw)}
    assert DOCUMENTS / 20 < len(refused) < DOCUMENTS / 5
    spaces = Workspaces(*[await hooklane.workspace(profile) for profile in TYPES])
    logs_dir = hooklane.logs_dir
    async with (
        running(qr3_sample(logs_dir=logs_dir, secret=SECRET)) as express,
        running(python_sample(logs_dir=logs_dir, secret=SECRET)) as python,
        running(xqr_sample(logs_dir=logs_dir, secret=SECRET)) as xqr,
    ):
        await spaces.qr3.create(express.url, ["*"], secret=SECRET)
        await spaces.qr3.create(python.url, ["*"], secret=SECRET)
        await spaces.xqr.create(xqr.url, ["*"], secret=SECRET)
        await spaces.standard.create(receiver.url("/standard"), ["*"], secret=STANDARD_SECRET)
        expected = 0
        # A quarter with each codec, and the next one when it has ended: a flood that the samples
        # cannot take at once would be parked, and the test would wait for it.
        for quarter, codec in enumerate(CODECS):
            numbers = range(quarter, DOCUMENTS, len(CODECS))
            messages = [
                event(space, number, corpus[number]) for space in spaces for number in numbers
            ]
            await produce(hooklane.bootstrap, hooklane.events_topic, messages, compression=codec)
            expected += 4 * len(numbers) - len(refused.intersection(numbers))
            outcome = await until(
                lambda: look(hooklane, receiver, express, python, xqr),
                partial(has_ended, expected),
                what=f"{expected} deliveries and rejections",
                within_s=WITHIN_S,
                every_s=LOOK_EVERY_S,
            )
    assert_accounted_for(outcome, refused)
    assert_accepted(outcome)
    assert_raw_bytes(outcome, corpus)


def has_ended(count: int, outcome: Outcome) -> bool:
    """Return whether at least ``count`` deliveries and rejections are there."""
    return sum(map(len, outcome)) >= count


def event(space: Workspace, number: int, raw: bytes) -> Message:
    """Return the event that carries a document in a workspace."""
    types = TYPES[space.profile]
    return space.event(types[number % len(types)], f"{space.profile}-{number}", raw)


async def look(
    hooklane: Hooklane, receiver: ScriptedReceiver, express: Sample, python: Sample, xqr: Sample
) -> Outcome:
    """Return what has become of the events so far."""
    kept = await (await hooklane.topic("events.rejected")).read()
    reasons = {
        (record.key or b"").decode(): dict(record.headers)["hooklane-rejected-reason"]
        for record in kept
        if (record.key or b"").startswith(b"qr3-")
    }
    return Outcome(
        await express.received(),
        await python.received(),
        await xqr.received(),
        receiver.at("/standard"),
        reasons,
    )


def assert_accounted_for(outcome: Outcome, refused: set[int]) -> None:
    """Check that each event ended exactly once: delivered or rejected, never both or neither."""
    everything = Counter(range(DOCUMENTS))
    sendable = Counter(set(everything) - refused)
    assert counted(outcome.express) == sendable
    assert counted(outcome.python) == sendable
    assert counted(outcome.xqr) == everything
    assert counted(outcome.standard) == everything
    assert {int(event_id.removeprefix("qr3-")) for event_id in outcome.rejected} == refused
    assert all(b"JavaScript" in reason for reason in outcome.rejected.values())


def counted(received: Sequence[Received]) -> Counter[int]:
    """Return how often each document arrived."""
    return Counter(int(request.event_id.rpartition("-")[2]) for request in received)


def assert_accepted(outcome: Outcome) -> None:
    """Check every receiver's own verdict."""
    for received in (outcome.express, outcome.python, outcome.xqr):
        assert Counter(request.status for request in received) == {200: len(received)}
    verifier = Webhook(STANDARD_SECRET)  # the published library; it raises for a bad signature
    for request in outcome.standard:
        verifier.verify(request.body, request.headers, json_parse=False)


def assert_raw_bytes(outcome: Outcome, corpus: Sequence[bytes]) -> None:
    """Check that ``data`` is what the producer wrote: to the byte where no JavaScript verifies."""
    for request in (*outcome.xqr, *outcome.standard):
        number = int(request.event_id.rpartition("-")[2])
        assert request.body.endswith(b'"data":' + corpus[number].strip() + b"}")
