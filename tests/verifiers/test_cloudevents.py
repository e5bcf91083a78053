"""The official CloudEvents SDKs read what Hooklane delivers, and what they produce is delivered.

Read: Python, JavaScript and Go, requests as they arrived. Produced: messages for Kafka, by the SDKs
that have a binding for it without a client of their own.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import pytest
import pytest_asyncio

from tests.support.producers import Message
from tests.support.receivers import Received, ScriptedReceiver, is_signed
from tests.support.stack import Hooklane
from tests.verifiers.conftest import OLD
from tests.verifiers.kit import BUILT, PROGRAMS, case_of, verdicts

pytestmark = pytest.mark.asyncio(loop_scope="session")

CREATED: Final = "2026-03-15T10:00:00.123Z"
DATA: Final = {"short_code": "r7f3Kx", "name": "Zoë 😀", "ratio": 1.5, "tags": [], "none": None}
TYPE: Final = "qr.scanned"
TYPES: Final = {"qr3": TYPE, "standard": "scan.created"}
"""The same event in two catalogues: QR3's makes its alias canonical."""

READERS: Final[Mapping[str, Sequence[str]]] = {
    "python": (sys.executable, str(PROGRAMS / "parse.py")),
    "javascript": ("node", str(PROGRAMS / "parse.mjs")),
    "go": (str(BUILT / "parse"),),
}
PRODUCERS: Final = ("python", "javascript")


class CloudEvent(msgspec.Struct, frozen=True):
    """A request in the format ``cloudevents``, and the workspace that it comes from."""

    request: Received
    workspace_id: str
    event_type: str


def answers(language: str, cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in verdicts(READERS[language], cases)]


def attributes_of(event_id: str, workspace_id: str, **more: str) -> dict[str, str]:
    given = {"specversion": "1.0", "id": event_id, "type": "scan.created", "time": CREATED}
    return {**given, "workspaceid": workspace_id, "datacontenttype": "application/json", **more}


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=TYPES)
async def delivered(request: pytest.FixtureRequest, hooklane: Hooklane) -> CloudEvent:
    """Return what arrives at an endpoint with the format, in one product and in another."""
    workspace = await hooklane.workspace(request.param)
    async with ScriptedReceiver() as receiver:
        url = receiver.url("/")
        await workspace.create(url, secret=OLD, payload_format="cloudevents")
        event = {"id": "evt_1", "type": "scan.created", "workspace_id": workspace.id}
        value = msgspec.json.encode({**event, "created": CREATED, "data": DATA})
        await hooklane.publish(Message(value=value))
        await receiver.got("/", "evt_1")
        return CloudEvent(receiver.at("/")[0], workspace.id, TYPES[request.param])


@pytest.mark.parametrize("language", READERS)
async def test_an_sdk_reads_every_attribute_of_what_is_delivered(
    language: str, delivered: CloudEvent
) -> None:
    (read,) = answers(language, [case_of(delivered.request)])

    assert datetime.fromisoformat(read.pop("time")) == datetime.fromisoformat(CREATED)
    assert read == {
        "specversion": "1.0",
        "id": "evt_1",
        "source": delivered.workspace_id,
        "type": delivered.event_type,
        "datacontenttype": "application/json",
        "data": DATA,
    }
    assert is_signed(delivered.request, OLD)


@pytest.mark.parametrize("language", READERS)
async def test_an_sdk_refuses_it_without_what_cloudevents_require(
    language: str, delivered: CloudEvent
) -> None:
    """What shows that the programs would notice; id and version some SDKs make up."""
    members = delivered.request.json()
    cases = [
        case_of(msgspec.structs.replace(delivered.request, body=json.dumps(rest).encode()))
        for missing in ("source", "type")
        for rest in [{name: value for name, value in members.items() if name != missing}]
    ]

    found = [list(read) for read in answers(language, cases)]

    assert found == [["error"]] * len(cases)


@pytest.mark.parametrize("mode", ["binary", "structured"])
@pytest.mark.parametrize("language", PRODUCERS)
async def test_what_an_sdk_produces_for_kafka_is_delivered(
    language: str, mode: str, hooklane: Hooklane
) -> None:
    workspace = await hooklane.workspace("qr3")
    event_id = f"evt_{language}_{mode}"
    source = "https://example.com/scanner"
    attributes = attributes_of(event_id, workspace.id, source=source)
    (made,) = answers(language, [{"attributes": attributes, "data": DATA}])
    headers = tuple((name, value.encode()) for name, value in made[mode]["headers"].items())
    async with ScriptedReceiver() as receiver:
        await workspace.create(receiver.url("/"))
        value = base64.b64decode(made[mode]["value"])
        await hooklane.publish(Message(value=value, headers=headers))
        await receiver.got("/", event_id)
        (request,) = receiver.at("/")

    expected = {"id": event_id, "type": TYPE, "created": CREATED, "data": DATA}
    assert request.json() == expected
