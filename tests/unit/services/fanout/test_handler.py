"""Fan-out: records in, records out, whatever a producer wrote; and the waits around it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from services.fanout.handler import CUT_TO_BYTES, KEPT_BYTES_MAX, FanoutHandler, Planner
from shared.kafka.publisher import Position, Record
from shared.kafka.salvage import DAMAGED_HEADER
from shared.models.deliveries import META_HEADER, DeliveryMeta, decode_meta
from shared.models.endpoints import (
    EndpointState,
    PayloadFormat,
    WorkspaceState,
    encode_state,
)
from shared.models.operational import OPERATIONAL_HEADER
from shared.models.rejected import (
    CUT_HEADER,
    FIELD_HEADER,
    ORIGIN_HEADER,
    REASON_HEADER,
    WORKSPACE_HEADER,
)
from shared.observe.traces import OFF, Span, Tracer
from shared.policy.matching import Registry
from shared.profiles.profile import load_profiles
from shared.topics import BODY_BYTES_MAX, DEFAULT_TIERS, RECORD_BYTES_MAX, Tiers

PROFILES = load_profiles(Tiers.parse(DEFAULT_TIERS))
TIMESTAMP_MS = 1_773_568_800_000


def endpoint(
    identifier: str, *events: str, workspace: str = "ws_1", revision: int = 1
) -> EndpointState:
    return EndpointState(
        id=identifier,
        workspace_id=workspace,
        profile="qr3",
        url="https://receiver.example/",
        events=events or ("*",),
        secret="",
        revision=revision,
    )


def planner(*endpoints: EndpointState, traces: Tracer = OFF) -> Planner:
    registry = Registry(PROFILES)
    states: tuple[EndpointState | WorkspaceState, ...] = (
        WorkspaceState(id="ws_1", profile="qr3"),
        WorkspaceState(id="ws_x", profile="xqr"),
        WorkspaceState(id="ws_retired", profile="retired"),
        *endpoints,
    )
    for state in states:
        registry.apply(state.id, encode_state(state))
    return Planner(
        registry=registry,
        profiles=PROFILES,
        deliveries_topic="p.deliveries",
        rejected_topic="p.events.rejected",
        traces=traces,
    )


def record(
    value: bytes | None, *, headers: Any = (), key: bytes | None = b"key", offset: int = 41
) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord(
        "p.events", 3, offset, TIMESTAMP_MS, 1, key, value, None, -1, -1, tuple(headers)
    )


def event(**members: Any) -> bytes:
    given = {"type": "qr.scanned", "workspace_id": "ws_1", "data": {"a": 1}}
    return json.dumps(given | members).encode()


def header(follow: Record, name: str) -> bytes:
    value = dict(follow.headers)[name]
    assert value is not None
    return value


def meta_of(follow: Record) -> DeliveryMeta:
    return decode_meta(header(follow, META_HEADER))


def rejected(value: bytes | None, **given: Any) -> Record:
    """Return the one record that a record leads to, which is a rejection."""
    (follow,) = planner(endpoint("wh_1")).plan([record(value, **given)])
    assert follow.topic == "p.events.rejected"
    return follow


def test_an_event_becomes_one_delivery_for_each_endpoint_with_one_body() -> None:
    follows = planner(
        endpoint("wh_1", revision=5), endpoint("wh_2"), endpoint("wh_3", "qr.created")
    ).plan([record(event(id="evt_1", created="2026-03-15T12:00:00+02:00"))])
    assert [(follow.topic, follow.key) for follow in follows] == [
        ("p.deliveries", b"wh_1"),
        ("p.deliveries", b"wh_2"),
    ]
    assert follows[0].value is follows[1].value
    assert follows[0].value == (
        b'{"id":"evt_1","type":"qr.scanned","created":"2026-03-15T10:00:00.000Z","data":{"a":1}}'
    )
    assert meta_of(follows[0]) == DeliveryMeta(
        event_id="evt_1",
        event_type="qr.scanned",
        workspace_id="ws_1",
        attempt=1,
        trigger="event",
        revision=5,
        accepted_ms=TIMESTAMP_MS,
        due_ms=TIMESTAMP_MS,
        workspace_revision=1,
    )
    assert meta_of(follows[1]).revision == 1


def test_channels_and_filters_decide_event_by_event() -> None:
    made = planner(
        msgspec.structs.replace(endpoint("wh_1"), channels=("eu",)),
        msgspec.structs.replace(endpoint("wh_2"), filter='{"a":{"$gte":2}}'),
    )
    follows = made.plan(
        [
            record(event()),
            record(event(channels=["eu"]), offset=42),
            record(event(data={"a": 2}), offset=43),
        ]
    )
    assert [follow.key for follow in follows] == [b"wh_1", b"wh_2"]


def test_the_body_is_rendered_once_for_each_format() -> None:
    wanted: list[PayloadFormat] = ["standard", "profile", "cloudevents", "standard"]
    made = planner(
        *(
            msgspec.structs.replace(endpoint(f"wh_{number}"), payload_format=payload_format)
            for number, payload_format in enumerate(wanted)
        )
    )
    follows = made.plan([record(event(id="evt_1", data={"a": 1}))])
    assert [meta_of(follow).payload_format for follow in follows] == wanted
    assert follows[0].value is follows[3].value
    bodies = [json.loads(follow.value or b"") for follow in follows]
    assert [next(iter(body)) for body in bodies[:3]] == ["type", "id", "specversion"]
    assert [body["data"] for body in bodies] == [{"a": 1}] * 4


def test_a_record_that_is_read_twice_leads_to_the_same_deliveries() -> None:
    """After a crash; the delivery workers tell them by that."""
    made = planner(endpoint("wh_1"), endpoint("wh_2"))
    assert made.plan([record(event())]) == made.plan([record(event())])
    assert made.plan([record(event())]) != made.plan([record(event(), offset=42)])


def test_an_alias_is_delivered_under_the_canonical_name() -> None:
    """Whatever name was published or subscribed; and once to who subscribed both."""
    made = planner(endpoint("wh_1", "scan.created", "qr.scanned"))
    for name in ("scan.created", "qr.scanned"):
        (follow,) = made.plan([record(event(type=name))])
        assert json.loads(follow.value or b"")["type"] == "qr.scanned"
        assert meta_of(follow).event_type == "qr.scanned"


def test_what_hooklane_itself_tells_reaches_who_has_named_it() -> None:
    told = record(event(type="endpoint.disabled"), headers=((OPERATIONAL_HEADER, b"1"),))
    named, everything = endpoint("wh_1", "endpoint.disabled"), endpoint("wh_2", "*")
    (follow,) = planner(named, everything).plan([told])

    assert follow.key == b"wh_1"
    assert meta_of(follow).event_type == "endpoint.disabled"


def test_the_mark_of_what_hooklane_tells_opens_no_other_type() -> None:
    follow = rejected(event(type="webhook.ping"), headers=((OPERATIONAL_HEADER, b"1"),))

    assert "ping call only" in header(follow, REASON_HEADER).decode()


def test_an_event_that_nobody_subscribed_leads_to_nothing() -> None:
    assert planner(endpoint("wh_1", "qr.created")).plan([record(event())]) == []


def test_records_keep_their_order_and_one_bad_record_stops_nothing() -> None:
    made = planner(endpoint("wh_1"))
    follows = made.plan(
        [record(event(id="evt_1")), record(b"nonsense"), record(event(id="evt_2")), record(None)]
    )
    assert [follow.topic for follow in follows] == [
        "p.deliveries",
        "p.events.rejected",
        "p.deliveries",
        "p.events.rejected",
    ]
    assert [meta_of(follows[0]).event_id, meta_of(follows[2]).event_id] == ["evt_1", "evt_2"]


def test_a_rejected_record_is_kept_byte_for_byte_with_the_reason_and_its_origin() -> None:
    value = event(type="qr.scaned") + b" \n"
    given = (("traceparent", b"\xff"), ("empty", None))
    (follow,) = planner(endpoint("wh_1")).plan([record(value, headers=given)])
    assert (follow.key, follow.value) == (b"key", value)
    assert follow.headers[:2] == given
    assert header(follow, REASON_HEADER) == (
        b"unknown event type 'qr.scaned'; did you mean 'qr.scanned'?"
    )
    assert header(follow, FIELD_HEADER) == b"type"
    origin = json.loads(header(follow, ORIGIN_HEADER))
    assert origin == {
        "topic": "p.events",
        "partition": 3,
        "offset": 41,
        "timestamp_ms": TIMESTAMP_MS,
    }


@pytest.mark.parametrize(
    ("value", "says", "field"),
    [
        (None, "no value", ""),
        (b"\xff", "not valid UTF-8", ""),
        (event(workspace_id="ws_2"), "unknown workspace 'ws_2'", "workspace_id"),
        (event(workspace_id="ws_retired"), "unknown workspace", "workspace_id"),
        (event(workspace_id="wh_1"), "unknown workspace", "workspace_id"),
        (event(type="webhook.ping"), "sent by the ping call only", "type"),
        (event(type="endpoint.failing"), "Hooklane alone sends it", "type"),
        (event(type="*"), "is not an event type", "type"),
        (event(type="\ud800"), "is not an event type", "type"),
        (event(workspace_id="\ud800"), "unknown workspace '\\ud800'", "workspace_id"),
        (event(data=[1]), "data must be a JSON object", "data"),
        (event(data={"n": 2**60}), "send it as a string", "data"),
        (event(data={"a": "x" * BODY_BYTES_MAX}), "bytes as rendered", "data"),
        (event().replace(b"qr.scanned", b"qr\xff"), "not valid UTF-8", ""),
    ],
)
def test_what_cannot_be_delivered_is_rejected_with_the_reason(
    value: bytes | None, says: str, field: str
) -> None:
    follow = rejected(value)
    assert says in header(follow, REASON_HEADER).decode()
    assert header(follow, FIELD_HEADER).decode() == field


@pytest.mark.parametrize(
    ("value", "headers", "workspace"),
    [
        (event(type="nope"), (), "ws_1"),
        (event(data=[], workspace_id="ws_2"), (), None),
        (b'{"workspace_id":"ws_1"}', (), "ws_1"),
        (b'{"workspace_id":["ws_1"],"source":"ws_1"}', (), "ws_1"),
        (b'{"workspaceid":"ws_1","specversion":"1.0"}', (), "ws_1"),
        (b"{", (("ce_specversion", b"1.0"), ("ce_source", b"ws_1")), "ws_1"),
        (b"not JSON ws_1", (), None),
        (None, (), None),
    ],
)
def test_a_rejected_record_says_whose_it_is_where_that_can_be_told(
    value: bytes | None, headers: Any, workspace: str | None
) -> None:
    follow = rejected(value, headers=headers)

    assert dict(follow.headers).get(WORKSPACE_HEADER) == (workspace and workspace.encode())


def test_a_damaged_batch_is_rejected_with_what_was_lost() -> None:
    lost = b"offsets 3 to 5 cannot be decoded"
    follow = rejected(None, key=None, headers=((DAMAGED_HEADER, lost),))
    assert header(follow, REASON_HEADER) == lost
    assert (follow.key, follow.value) == (None, None)


def test_a_reason_is_short() -> None:
    assert len(header(rejected(event(type="x" * 500)), REASON_HEADER)) <= 1_000


@pytest.mark.parametrize(
    "given",
    [
        {"value": event(type="x.y", data={"a": "x" * KEPT_BYTES_MAX})},
        {"value": b"x" * 50_000_000},
        {"value": b"", "key": b"k" * (KEPT_BYTES_MAX + 1)},
        {"value": b"", "headers": [("h" * 1_000, b"v" * 1_000)] * 1_000},
        {"value": b"", "headers": [("", None)] * 200_000},
    ],
)
def test_what_is_too_large_to_be_kept_is_cut_and_says_so(given: dict[str, Any]) -> None:
    """A producer that compresses well gets more into a record than we could write back.

    Written whole it would be refused for good, and tried again for ever: nobody's events would be
    matched any more.
    """
    (follow,) = planner().plan([record(**given)])
    size = sum(len(name) + len(value or b"") for name, value in follow.headers)
    assert size + len(follow.value or b"") + 10_000 < RECORD_BYTES_MAX
    assert len(follow.value or b"") <= CUT_TO_BYTES
    assert given["value"].startswith(follow.value or b"")
    assert int(header(follow, CUT_HEADER)) > KEPT_BYTES_MAX
    assert json.loads(header(follow, ORIGIN_HEADER))["offset"] == 41


def test_what_just_fits_is_kept_whole() -> None:
    value = b"x" * (KEPT_BYTES_MAX - len(b"key"))
    (follow,) = planner().plan([record(value)])
    assert (follow.key, follow.value) == (b"key", value)
    assert CUT_HEADER not in dict(follow.headers)


@settings(max_examples=60)
@given(
    value=st.none() | st.binary(max_size=40) | st.sampled_from([event(), event(type="\ud800")]),
    headers=st.lists(
        st.tuples(
            st.sampled_from(["ce_specversion", "ce_id", "ce_type", "content-type", DAMAGED_HEADER]),
            st.none() | st.binary(max_size=8),
        ),
        max_size=4,
    ),
    key=st.none() | st.binary(max_size=4),
)
def test_no_record_raises_or_is_passed_over_in_silence(
    value: bytes | None, headers: list[tuple[str, bytes | None]], key: bytes | None
) -> None:
    (follow,) = planner(endpoint("wh_1")).plan([record(value, headers=headers, key=key)])
    assert follow.topic in ("p.deliveries", "p.events.rejected")


class Steps:
    """Barrier and sink in one; notes what was asked of it and when it was done."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.published: list[Record] = []
        self.asked = asyncio.Event()
        self.acknowledge = asyncio.Event()

    async def catch_up(self) -> None:
        self.done.append("caught up")

    async def publish(self, records: Sequence[Record]) -> list[Position]:
        assert self.done == ["caught up"]
        self.published += records
        self.asked.set()
        await self.acknowledge.wait()
        self.done.append("acknowledged")
        return []


async def test_a_batch_is_matched_after_the_barrier_and_done_when_all_is_acknowledged() -> None:
    """The first event counts; and offsets are committed only when ``handle`` has returned."""
    steps = Steps()
    handler = FanoutHandler(planner=planner(endpoint("wh_1")), barrier=steps, sink=steps)
    handling = asyncio.create_task(handler.handle([record(event()), record(b"nonsense")]))
    await asyncio.wait_for(steps.asked.wait(), 20)
    assert not handling.done()
    steps.acknowledge.set()
    await handling
    assert steps.done == ["caught up", "acknowledged"]
    assert [follow.topic for follow in steps.published] == ["p.deliveries", "p.events.rejected"]


async def test_a_batch_that_leads_to_nothing_is_done_at_once() -> None:
    steps = Steps()
    handler = FanoutHandler(planner=planner(), barrier=steps, sink=steps)
    await handler.handle([record(event())])
    assert steps.done == ["caught up"]


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def traced(*records: ConsumerRecord[bytes, bytes], ratio: float = 0.0) -> list[Span]:
    """Return the spans of a batch, which goes to two endpoints."""
    spans: list[Span] = []
    clock = iter(range(1_000, 9_000, 100))
    traces = Tracer(ratio=ratio, sink=spans.append, now_ms=lambda: next(clock))
    steps = Steps()
    steps.acknowledge.set()
    handler = FanoutHandler(
        planner=planner(endpoint("wh_1"), endpoint("wh_2"), traces=traces),
        barrier=steps,
        sink=steps,
        traces=traces,
    )
    await handler.handle(records)
    places = {
        meta_of(follow).traceparent for follow in steps.published if follow.topic == "p.deliveries"
    }
    assert places == {str(span.context) for span in spans} or (places == {""} and not spans)
    return spans


async def test_deliveries_go_on_in_the_trace_of_their_event() -> None:
    headers = (("traceparent", TRACEPARENT.encode()),)
    (span,) = await traced(record(event(id="evt_1"), headers=headers))

    assert str(span.parent) == TRACEPARENT
    assert span.context.trace_id == span.parent.trace_id
    assert (span.start_ms, span.end_ms) == (1_000, 1_100)
    assert dict(span.attributes)["hooklane.deliveries"] == 2
    assert dict(span.attributes)["hooklane.event.id"] == "evt_1"


async def test_an_event_without_a_trace_begins_one_if_it_is_among_the_share() -> None:
    (span,) = await traced(record(event()), ratio=1.0)

    assert span.parent.span_id == ""
    assert await traced(record(event())) == []


async def test_a_trace_that_is_not_sampled_is_not_carried_on() -> None:
    headers = (("traceparent", TRACEPARENT.removesuffix("1").encode() + b"0"),)

    assert await traced(record(event(), headers=headers), ratio=1.0) == []


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (
            b'{"a":1}',
            [
                (f"ce_{name}", text.encode())
                for name, text in (
                    ("specversion", "1.0"),
                    ("id", "evt_1"),
                    ("type", "qr.scanned"),
                    ("source", "ws_1"),
                    ("traceparent", TRACEPARENT),
                )
            ],
        ),
        (
            json.dumps(
                {
                    "specversion": "1.0",
                    "id": "evt_1",
                    "type": "qr.scanned",
                    "source": "ws_1",
                    "data": {},
                    "traceparent": TRACEPARENT,
                }
            ).encode(),
            [("content-type", b"application/cloudevents+json")],
        ),
    ],
)
async def test_a_cloud_event_says_its_trace_by_the_distributed_tracing_extension(
    value: bytes, headers: Any
) -> None:
    (span,) = await traced(record(value, headers=headers))

    assert str(span.parent) == TRACEPARENT


async def test_no_event_is_refused_for_what_it_says_of_its_trace() -> None:
    value = event(specversion="1.0", id="e", source="ws_1", traceparent=5, workspaceid="ws_1")
    headers = [("content-type", b"application/cloudevents+json")]

    assert await traced(record(value, headers=headers)) == []
