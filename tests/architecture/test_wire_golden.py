"""Golden bytes of every record type: what is in Kafka today must be readable for ever.

Records outlive releases: a retry tier holds them for a day, a log for a month, and producers never
upgrade with us. So each type has files in ``tests/golden``. When a record gains a field (with a
default, at the end), its file stays, its case stops being ``current``, and a file of the next
version joins it; nothing here is ever regenerated.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
import pytest

from shared.models import attempts, deliveries, endpoints
from shared.models.attempts import (
    Attempt,
    Finished,
    RowKey,
    decode_attempt,
    decode_finished,
    delivery_id_in,
    encode_attempt,
)
from shared.models.deliveries import DeliveryMeta
from shared.models.endpoints import EarlierSecret, EndpointState, TypeNames, WorkspaceState
from shared.models.events import Coordinates, Event, decode_event
from tests.architecture.repository import ROOT

GOLDEN: Final = ROOT / "tests/golden"


class Case(NamedTuple):
    """A file and the record in it. ``current``: today's encoder writes exactly these bytes."""

    file: str
    value: msgspec.Struct
    decode: Callable[[bytes], msgspec.Struct]
    encode: Callable[[Any], bytes]
    current: bool = True


ANSWERED: Final = Attempt(
    workspace_id="ws_0195a2f3c400aabbccddeeff00112233",
    endpoint_id="wh_0195a2f3c401aabbccddeeff00112233",
    event_id="evt_abc123xyz",
    event_type="qr.scanned",
    trigger="event",
    attempt=2,
    status="success",
    final=True,
    due_ms=1_773_568_860_000,
    started_ms=1_773_568_860_012,
    partition=7,
    offset=4_711,
    revision=3,
    epoch=2,
    accepted_ms=1_773_568_800_000,
    ended_ms=1_773_568_860_157,
    url="https://example.com/webhooks/qr3",
    address="203.0.113.9",
    status_code=200,
    response_time_ms=145.2,
    request_headers="X-QR3-Attempt: 2\r\n",
    response_headers=(("Content-Type", "application/json"), ("X-Trace", 'a"b\\é')),
    response_body=b'{"received":true}\xff\x00',
    response_truncated=True,
    timing_ms={"dns": 1.2, "connect": 10.0, "total": 145.2},
)
TRACED: Final = msgspec.structs.replace(
    ANSWERED, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)
UNANSWERED: Final = Attempt(
    workspace_id="ws_0195a2f3c400aabbccddeeff00112233",
    endpoint_id="wh_0195a2f3c401aabbccddeeff00112233",
    event_id="evt_abc123xyz",
    event_type="qr.scanned",
    trigger="resend:0195a2f3c4",
    attempt=1,
    status="failed",
    final=False,
    due_ms=1_773_568_800_000,
    started_ms=1_773_568_800_003,
    partition=0,
    offset=0,
    revision=1,
    epoch=1,
    accepted_ms=1_773_568_800_000,
    ended_ms=1_773_568_815_003,
    url="https://example.com/webhooks/qr3",
    response_time_ms=15_000.0,
    error="timeout",
    error_message="no time left while waiting for an answer from 203.0.113.9",
    next_attempt_ms=1_773_568_875_003,
)
DISCARDED: Final = Attempt(
    workspace_id="ws_0195a2f3c400aabbccddeeff00112233",
    endpoint_id="wh_0195a2f3c401aabbccddeeff00112233",
    event_id="evt_abc123xyz",
    event_type="qr.scanned",
    trigger="event",
    attempt=1,
    status="discarded",
    final=True,
    due_ms=1_773_568_800_000,
    started_ms=1_773_568_800_001,
    partition=0,
    offset=1,
    revision=1,
    epoch=0,
    reason="endpoint_disabled",
)
ENDPOINT: Final = EndpointState(
    id="wh_0195a2f3c401aabbccddeeff00112233",
    workspace_id="ws_0195a2f3c400aabbccddeeff00112233",
    profile="qr3",
    url="https://example.com/webhooks/qr3?a=b",
    events=("qr.scanned", "scan.created", "*"),
    secret="k1:AAECAwQFBgcICQoL",
    active=False,
    disabled_reason="consecutive_failures",
    revision=9,
    epoch=4,
)
LIMITED: Final = msgspec.structs.replace(ENDPOINT, concurrency=4, rate_limit=2.5)
SETTLED: Final = msgspec.structs.replace(
    LIMITED,
    headers=(("X-Api-Key", "k1:DAwMDAwMDAwM"), ("Authorization", "k1:AQEBAQEBAQEB")),
    paused_ms=1_773_568_800_000,
    retry_delays=("5s", "1h"),
    timeout_ms=2_500,
    success_codes=("2xx", 302),
    payload_format="cloudevents",
    channels=("eu", "vip"),
    filter='{"country":{"$in":["AT","DE"]}}',
)
UNWANTED: Final = msgspec.structs.replace(
    SETTLED,
    retries_discarded_ms=1_773_568_800_000,
    discarded_retries=("whd_019cf0f11f60f09a6ce93373eefa2736",),
)
ROTATED: Final = msgspec.structs.replace(
    ENDPOINT,
    earlier=(
        EarlierSecret(secret="k1:DAsKCQgHBgUEAwIB", until_ms=1_773_655_200_000),
        EarlierSecret(
            secret="k0:AQIDBAUGBwgJCgsM",
            until_ms=1_773_572_400_000,
            public_key="whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        ),
    ),
)
WORKSPACE: Final = WorkspaceState(
    id="ws_0195a2f3c400aabbccddeeff00112233", profile="xqr", name="Dún Laoghaire", revision=2
)
OWN_TYPES: Final = WorkspaceState(
    id="ws_0195a2f3c400aabbccddeeff00112233",
    profile="qr3",
    name="Shop",
    revision=3,
    types=(
        TypeNames("order.created", ("order.made",)),
        TypeNames("order.lost", archived=True),
    ),
)
SUSPENDED: Final = msgspec.structs.replace(OWN_TYPES, revision=4, suspended=True)
META: Final = DeliveryMeta(
    event_id="evt_abc123xyz",
    event_type="qr.scanned",
    workspace_id="ws_0195a2f3c400aabbccddeeff00112233",
    attempt=3,
    trigger="event",
    revision=9,
    accepted_ms=1_773_568_800_000,
    due_ms=1_773_569_160_000,
    parks=2,
    not_before_ms=1_773_569_190_000,
)
FORMATTED: Final = msgspec.structs.replace(META, payload_format="cloudevents")
RETRIED: Final = msgspec.structs.replace(FORMATTED, failed_ms=1_773_568_860_000)
OWNED: Final = msgspec.structs.replace(RETRIED, workspace_revision=4)
FOLLOWED: Final = msgspec.structs.replace(OWNED, traceparent=TRACED.traceparent)

CASES: Final = (
    Case("attempt-answered.v1.json", ANSWERED, decode_attempt, attempts.encode_attempt),
    Case("attempt-answered.v2.json", TRACED, decode_attempt, attempts.encode_attempt),
    Case("attempt-unanswered.v1.json", UNANSWERED, decode_attempt, attempts.encode_attempt),
    Case("attempt-discarded.v1.json", DISCARDED, decode_attempt, attempts.encode_attempt),
    Case(
        "endpoint.v1.json",
        ENDPOINT,
        lambda value: endpoints.decode_state(ENDPOINT.id, value),
        endpoints.encode_state,
    ),
    Case(
        "endpoint.v2.json",
        LIMITED,
        lambda value: endpoints.decode_state(ENDPOINT.id, value),
        endpoints.encode_state,
    ),
    Case(
        "endpoint.v3.json",
        SETTLED,
        lambda value: endpoints.decode_state(ENDPOINT.id, value),
        endpoints.encode_state,
    ),
    Case(
        "endpoint.v4.json",
        UNWANTED,
        lambda value: endpoints.decode_state(ENDPOINT.id, value),
        endpoints.encode_state,
    ),
    Case(
        "endpoint-rotated.v1.json",
        ROTATED,
        lambda value: endpoints.decode_state(ROTATED.id, value),
        endpoints.encode_state,
    ),
    Case(
        "workspace.v1.json",
        WORKSPACE,
        lambda value: endpoints.decode_state(WORKSPACE.id, value),
        endpoints.encode_state,
    ),
    Case(
        "workspace.v2.json",
        OWN_TYPES,
        lambda value: endpoints.decode_state(OWN_TYPES.id, value),
        endpoints.encode_state,
    ),
    Case(
        "workspace.v3.json",
        SUSPENDED,
        lambda value: endpoints.decode_state(SUSPENDED.id, value),
        endpoints.encode_state,
    ),
    Case(
        "delivery-meta.v1.msgpack",
        META,
        deliveries.decode_meta,
        deliveries.encode_meta,
        current=False,
    ),
    Case(
        "delivery-meta.v2.msgpack",
        FORMATTED,
        deliveries.decode_meta,
        deliveries.encode_meta,
        current=False,
    ),
    Case(
        "delivery-meta.v3.msgpack",
        RETRIED,
        deliveries.decode_meta,
        deliveries.encode_meta,
        current=False,
    ),
    Case(
        "delivery-meta.v4.msgpack",
        OWNED,
        deliveries.decode_meta,
        deliveries.encode_meta,
        current=False,
    ),
    Case("delivery-meta.v5.msgpack", FOLLOWED, deliveries.decode_meta, deliveries.encode_meta),
)
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
json_cases = pytest.mark.parametrize(
    "case", [case for case in CASES if case.file.endswith(".json")], ids=lambda case: case.file
)

AT: Final = Coordinates("events", 3, 42, 1_773_568_800_000)
EVENT: Final = Event(
    id="evt_abc123xyz",
    type="qr.scanned",
    workspace_id="ws_0195a2f3c400aabbccddeeff00112233",
    created="2026-03-15T10:00:00.000Z",
    data=b'{"code_id": "qr_abc123", "country": "AT"}',
    accepted_ms=1_773_568_800_000,
)


def _golden(file: str) -> bytes:
    return (GOLDEN / file).read_bytes()


def _defaults(kind: type[msgspec.Struct]) -> dict[str, object]:
    """Return the default of each field that has one."""
    found = {}
    for field in msgspec.structs.fields(kind):
        if field.default is not msgspec.NODEFAULT:
            found[field.name] = field.default
        elif field.default_factory is not msgspec.NODEFAULT:
            found[field.name] = field.default_factory()
    return found


@every_case
def test_the_golden_bytes_are_read_as_the_record_that_they_were(case: Case) -> None:
    assert case.decode(_golden(case.file)) == case.value


@pytest.mark.parametrize("case", [case for case in CASES if case.current], ids=lambda c: c.file)
def test_the_record_is_written_as_the_golden_bytes(case: Case) -> None:
    assert case.encode(case.value) == _golden(case.file)


@json_cases
def test_a_json_record_of_a_later_release_is_read_without_what_is_new(case: Case) -> None:
    members = json.loads(_golden(case.file))
    later = {"added_first": [1, {"x": None}], **members, "added_last": "…"}

    assert case.decode(json.dumps(later).encode()) == case.value


@json_cases
def test_a_json_record_of_an_earlier_release_gets_the_defaults_of_what_is_new(case: Case) -> None:
    members = json.loads(_golden(case.file))

    for name, default in _defaults(type(case.value)).items():
        earlier = {key: value for key, value in members.items() if key != name}
        expected = msgspec.structs.replace(case.value, **{name: default})
        assert case.decode(json.dumps(earlier).encode()) == expected


def test_metadata_of_a_later_release_is_read_without_what_is_new() -> None:
    fields: list[object] = msgspec.msgpack.decode(_golden("delivery-meta.v5.msgpack"))

    assert deliveries.decode_meta(msgspec.msgpack.encode([*fields, "added", 1])) == FOLLOWED


def test_metadata_of_an_earlier_release_gets_the_defaults_of_what_is_new() -> None:
    fields: list[object] = msgspec.msgpack.decode(_golden("delivery-meta.v5.msgpack"))
    defaults = _defaults(DeliveryMeta)

    earlier = deliveries.decode_meta(msgspec.msgpack.encode(fields[: -len(defaults)]))

    assert earlier == msgspec.structs.replace(FOLLOWED, **defaults)


def test_the_journal_reads_its_part_of_an_attempt() -> None:
    assert decode_finished(_golden("attempt-unanswered.v1.json")) == Finished(
        endpoint_id=UNANSWERED.endpoint_id,
        event_id=UNANSWERED.event_id,
        trigger=UNANSWERED.trigger,
        attempt=1,
        final=False,
        offset=0,
    )


def test_an_attempt_keeps_the_id_of_its_row_in_the_log() -> None:
    cases = (ANSWERED, UNANSWERED, DISCARDED)
    known = [
        "whd_019cf0f11f60f09a6ce93373eefa2736",
        "whd_019cf0f035000284e04370891e58edff",
        "whd_019cf0f035000b5cbd4b7158bfb39d87",
    ]
    assert [case.delivery_id() for case in cases] == known
    assert [delivery_id_in(encode_attempt(case)) for case in cases] == known


def test_a_native_event_is_read_as_ever() -> None:
    assert decode_event(_golden("event-native.v1.json"), (), AT) == EVENT


def test_a_structured_cloud_event_is_read_as_ever() -> None:
    headers = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)

    assert decode_event(_golden("event-cloudevents.v1.json"), headers, AT) == EVENT


def test_a_binary_cloud_event_is_read_as_ever() -> None:
    headers = (
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_id", EVENT.id.encode()),
        ("ce_type", EVENT.type.encode()),
        ("ce_source", b"https://example.com/scanner"),
        ("ce_time", b"2026-03-15T12:00:00+02:00"),
        ("ce_workspaceid", EVENT.workspace_id.encode()),
    )

    assert decode_event(EVENT.data, headers, AT) == EVENT


def test_every_record_type_has_golden_bytes() -> None:
    types = {
        kind
        for module in (attempts, deliveries, endpoints)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__
    }

    parts = {Finished, RowKey, EarlierSecret, TypeNames}
    assert types == {*(type(case.value) for case in CASES), *parts}


def test_every_golden_file_is_used() -> None:
    used = {case.file for case in CASES} | {"event-native.v1.json", "event-cloudevents.v1.json"}

    assert {path.name for path in GOLDEN.iterdir()} == used
