"""The official CloudEvents SDKs read what Hooklane delivers, and what they produce is delivered.

Python, JavaScript and Go; Kafka's messages are those of the SDKs that have a Kafka binding.
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

from tests.support.producers import Message
from tests.support.receivers import Received, ScriptedReceiver
from tests.support.stack import Hooklane
from tests.verifiers.conftest import DATA, TYPE
from tests.verifiers.kit import BUILT, PROGRAMS, case_of, verdicts

pytestmark = pytest.mark.asyncio(loop_scope="session")

CREATED: Final = "2026-03-15T10:00:00.123Z"
READERS: Final[Mapping[str, Sequence[str]]] = {
    "python": (sys.executable, str(PROGRAMS / "parse.py")),
    "javascript": ("node", str(PROGRAMS / "parse.mjs")),
    "go": (str(BUILT / "parse"),),
}
PRODUCERS: Final = ("python", "javascript")


def answers(language: str, cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in verdicts(READERS[language], cases)]


@pytest.mark.parametrize("mode", ["binary", "structured"])
@pytest.mark.parametrize("language", PRODUCERS)
async def test_what_an_sdk_produces_for_kafka_is_delivered(
    language: str, mode: str, hooklane: Hooklane
) -> None:
    workspace = await hooklane.workspace("qr3")
    event_id = f"evt_{language}_{mode}"
    attributes = {
        "specversion": "1.0",
        "id": event_id,
        "type": "scan.created",
        "source": "https://example.com/scanner",
        "workspaceid": workspace.id,
        "time": CREATED,
        "datacontenttype": "application/json",
    }
    data = {"short_code": "r7f3Kx", "name": "Zoë"}
    (made,) = answers(language, [{"attributes": attributes, "data": data}])
    headers = tuple((name, value.encode()) for name, value in made[mode]["headers"].items())
    async with ScriptedReceiver() as receiver:
        await workspace.create(receiver.url("/"))
        value = base64.b64decode(made[mode]["value"])
        await hooklane.publish(Message(value=value, headers=headers))
        await receiver.got("/", event_id)
        (request,) = receiver.at("/")

    assert request.json() == {
        "id": event_id,
        "type": "qr.scanned",
        "created": CREATED,
        "data": data,
    }
