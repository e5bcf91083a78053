"""The guide for producers, run: its events are read, and its rejected ones rejected as it says."""

from __future__ import annotations

import ast
import re
from typing import Final

import pytest
from aiokafka.structs import ConsumerRecord

from services.fanout.handler import Planner
from shared.config import Settings
from shared.kafka.publisher import Record
from shared.models.deliveries import META_HEADER
from shared.models.endpoints import EndpointState, WorkspaceState, encode_state
from shared.models.rejected import FIELD_HEADER, ORIGIN_HEADER, OUR_HEADERS, REASON_HEADER
from shared.policy.matching import Registry
from shared.profiles.profile import load_profiles
from tests.architecture.repository import ROOT

GUIDE: Final = (ROOT / "docs/producers.md").read_text(encoding="utf-8")
NATIVE, STRUCTURED = re.findall(r"^```json\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
PROGRAMS: Final = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
REJECTED: Final = re.findall(r"^\| `([^`]+)` \| (?:`(\w+)`)? ?\| (.+) \|$", GUIDE, re.MULTILINE)
WORKSPACES: Final = ("ws_1", "ws_0195a2f3c400aabbccddeeff00112233")


@pytest.fixture
def planner() -> Planner:
    """Fan-out in two QR3 workspaces, each with an endpoint that wants everything."""
    profiles = load_profiles(Settings().tiers)
    registry = Registry(profiles)
    for number, workspace_id in enumerate(WORKSPACES):
        workspace = WorkspaceState(id=workspace_id, profile="qr3")
        endpoint = EndpointState(
            id=f"wh_{number}",
            workspace_id=workspace_id,
            profile="qr3",
            url="https://example.com/",
            events=("*",),
            secret="",
        )
        for state in (workspace, endpoint):
            registry.apply(state.id, encode_state(state))
    return Planner(
        registry=registry,
        profiles=profiles,
        deliveries_topic="deliveries",
        rejected_topic="events.rejected",
    )


def _planned(
    planner: Planner, value: str, headers: tuple[tuple[str, bytes], ...] = ()
) -> tuple[Record, dict[str, bytes]]:
    """Return the one record that follows from a record on ``events``, and its headers."""
    raw = value.encode()
    record = ConsumerRecord(
        "events", 0, 7, 1_773_568_800_000, 0, b"k", raw, None, 1, len(raw), headers
    )
    (follows,) = planner.plan([record])
    return follows, {name: text or b"" for name, text in follows.headers}


def test_the_native_event_is_delivered(planner: Planner) -> None:
    follows, headers = _planned(planner, NATIVE)

    assert follows.topic == "deliveries"
    assert META_HEADER in headers


def test_the_cloud_event_is_the_same_event(planner: Planner) -> None:
    headers = (("content-type", b"application/cloudevents+json"),)

    assert _planned(planner, STRUCTURED, headers) == _planned(planner, NATIVE)


def test_the_guide_has_examples_of_rejected_records() -> None:
    assert len(REJECTED) >= 9


@pytest.mark.parametrize(("value", "field", "reason"), REJECTED)
def test_the_rejected_records_are_rejected_for_the_reasons_given(
    planner: Planner, value: str, field: str, reason: str
) -> None:
    follows, headers = _planned(planner, value)

    assert (follows.topic, follows.key, follows.value) == ("events.rejected", b"k", value.encode())
    assert headers[REASON_HEADER].decode().startswith(reason)
    assert headers[FIELD_HEADER].decode() == field
    assert headers[ORIGIN_HEADER].startswith(b'{"topic":"events","partition":0,"offset":7,')


def test_the_headers_have_the_names_that_the_guide_gives() -> None:
    assert set(re.findall(r"`(hooklane-rejected-\w+)`", GUIDE)) == OUR_HEADERS


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_python_examples_are_python(program: str) -> None:
    """They run in ``test_readme_tour``, where a Kafka is."""
    ast.parse(program)
