"""Publishing over HTTP makes what a Kafka producer would make, and refuses what fan-out would."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.auth import Caller
from services.gateway.errors import TooLarge
from services.gateway.event_schemas import BatchResult
from services.gateway.handlers import events
from services.gateway.handlers.events import Intake, Posted
from services.gateway.ports import Ports
from shared.kafka.publisher import Record
from shared.models import ids
from shared.models.errors import Invalid, Poison
from shared.models.events import Coordinates, Event, decode_event
from shared.observe.traces import Span, Tracer
from tests.unit.services.gateway.fakes import QR3, STANDARD, XQR, MemorySink, caller, origin, ports

ELSEWHERE = Coordinates("events", 3, 99, 1_900_000_000_000)

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=6), values, max_size=4)


def prepared(given_ports: Ports, who: Caller, raw: bytes) -> tuple[Event, Record]:
    return Intake(given_ports, who, origin(given_ports)).take(Posted(raw))


def as_fanout_reads(value: bytes | None) -> Event:
    return decode_event(value, (), ELSEWHERE)


@given(data=objects, spaced=st.booleans())
def test_fan_out_reads_the_very_event_that_was_accepted(
    data: dict[str, object], spaced: bool
) -> None:
    raw = json.dumps({"type": "qr.scanned", "data": data}, indent=1 if spaced else None).encode()

    event, record = prepared(ports(), caller(), raw)

    read = as_fanout_reads(record.value)
    assert (read.id, read.type, read.workspace_id) == (event.id, "qr.scanned", "ws_a")
    assert (read.created, read.data) == (event.created, event.data)
    assert json.loads(read.data) == data
    assert (record.topic, record.key) == ("events", b"ws_a")


def test_id_and_time_are_filled_in_and_unique() -> None:
    given_ports = ports()
    raw = b'{"type":"qr.scanned","data":{}}'

    first, _ = prepared(given_ports, caller(), raw)
    second, _ = prepared(given_ports, caller(), raw)

    assert first.id.startswith("evt_")
    assert first.id != second.id
    assert ids.time_ms_of(first.id) == given_ports.now_ms()
    assert first.created == "2027-01-15T08:00:00.123Z"


def test_an_id_and_a_time_of_the_callers_own_are_kept() -> None:
    raw = b'{"id":"evt_mine","type":"scan.created","created":"2026-03-15T11:00:00+01:00","data":{}}'

    event, record = prepared(ports(), caller(), raw)

    assert (event.id, event.created) == ("evt_mine", "2026-03-15T10:00:00.000Z")
    assert as_fanout_reads(record.value).type == "scan.created"


def test_an_id_that_is_null_is_filled_in_once_for_all() -> None:
    event, record = prepared(
        ports(), caller(), b'{"id":null,"type":"qr.scanned","data":{},"created":null}'
    )

    assert as_fanout_reads(record.value).id == event.id


def test_data_keeps_the_callers_bytes() -> None:
    raw = b' {"type":"t.t", "data": { "b" : 1.50, "a":"\\u00e9\\ud800" } } '

    _, record = prepared(ports(), caller(XQR), raw)

    assert as_fanout_reads(record.value).data == b'{ "b" : 1.50, "a":"\\u00e9\\ud800" }'


@pytest.mark.parametrize(
    ("raw", "field", "reason"),
    [
        (b"", None, "as JSON"),
        (b"{}", None, "type"),
        (b"[]", None, "Expected `object`"),
        (b'{"type":"qr.scanned"}', None, "data"),
        (b'{"data":{}}', None, "type"),
        (b'{"type":"qr.scanned","data":[]}', "data", "JSON object"),
        (b'{"type":"qr.scaned","data":{}}', "type", "did you mean 'qr.scanned'"),
        (b'{"type":"webhook.ping","data":{}}', "type", "ping call only"),
        (b'{"type":"endpoint.failing","data":{}}', "type", "Hooklane alone sends it"),
        (b'{"type":"qr.scanned","data":{"n":12345678901234567890}}', "data", "cannot be sent"),
        (b'{"type":"qr.scanned","data":{"n":1e400}}', "data", "cannot be sent"),
        (b'{"type":"qr.scanned","data":{}', None, "JSON"),
        (b'{"type":"qr.scanned","data":{"a":"\xff"}}', None, ""),
        (b'{"type":"qr.scanned","data":{},"created":"yesterday"}', "created", "RFC 3339"),
        (b'{"type":"qr.scanned","data":{},"id":""}', "id", "visible ASCII"),
        (b'{"type":"qr.scanned","data":{},"id":"a b"}', "id", "visible ASCII"),
        (b'{"type":"qr.scanned","data":{},"workspace_id":"ws_b"}', "workspace_id", "leave it out"),
        (b'{"type":"qr.scanned","data":' + b'{"a":' * 3_000 + b"1" + b"}" * 3_001, None, ""),
    ],
)
def test_what_fan_out_would_reject_is_refused_with_the_reason(
    raw: bytes, field: str | None, reason: str
) -> None:
    with pytest.raises(Poison) as caught:
        prepared(ports(), caller(), raw)

    assert reason in caught.value.reason
    if field is not None:
        assert caught.value.field == field


def test_the_callers_own_workspace_may_be_named() -> None:
    raw = b'{"type":"qr.scanned","data":{},"workspace_id":"ws_a"}'

    event, _ = prepared(ports(), caller(), raw)

    assert event.workspace_id == "ws_a"


def test_nobody_publishes_into_another_workspace_by_a_repeated_member() -> None:
    raw = b'{"workspace_id":"ws_a","type":"qr.scanned","data":{},"workspace_id":"ws_b"}'

    with pytest.raises(Poison, match="workspace_id"):
        prepared(ports(), caller(), raw)


def test_what_looks_like_a_cloud_event_is_the_callers_own_all_the_same() -> None:
    raw = b'{"specversion":"1.0","id":"1","type":"qr.scanned","source":"ws_b","data":{}}'

    event, _ = prepared(ports(), caller(), raw)

    assert event.workspace_id == "ws_a"


def test_an_event_that_no_record_can_hold_is_refused() -> None:
    data = b'{"a":"' + b"x" * events.EVENT_BYTES_MAX + b'"}'

    with pytest.raises(Poison, match="bytes"):
        prepared(ports(), caller(STANDARD), b'{"type":"a.b","data":' + data + b"}")


@given(st.lists(objects, max_size=5), st.booleans())
def test_an_array_is_split_into_its_items(items: list[dict[str, object]], ascii_only: bool) -> None:
    body = json.dumps(items, ensure_ascii=ascii_only, indent=1).encode("utf-8", "surrogatepass")

    assert [json.loads(item) for item in events.split_array(body)] == items


def test_an_array_with_a_lone_surrogate_is_split_too() -> None:
    assert events.split_array(b'[ {"a":"\\ud800"} , {} ]') == [b'{"a":"\\ud800"}', b"{}"]
    assert events.split_array(b"[]") == []


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"1",
        b"[",
        b"[{}",
        b"[{},]",
        b"[{} {}]",
        b"[,]",
        b"[{}]x",
        b'["\\ud800",]',
        b'["\\ud800" 1]',
        b'["\\ud800"',
        b'["\\ud800"]]',
        b"[" * 100_000,
    ],
)
def test_what_is_no_array_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid, match="array"):
        events.split_array(body)


def test_lines_are_split_and_blank_ones_dropped() -> None:
    assert events.split_lines(b'{"a":1}\r\n\n  \n{"b":2}') == [b'{"a":1}\r', b'{"b":2}']


async def the_same(known: Caller) -> Caller:
    return known


async def published(raws: list[bytes], sink: MemorySink) -> list[BatchResult]:
    given_ports = ports(sink=sink)
    batch = [Posted(raw) for raw in raws]
    return await events.publish_batch(
        given_ports, caller(QR3), batch, origin(given_ports), the_same
    )


async def test_a_batch_answers_for_each_event_in_order() -> None:
    sink = MemorySink()
    raws = [
        b'{"id":"evt_1","type":"qr.scanned","data":{}}',
        b'{"type":"nope","data":{}}',
        b"nonsense",
        b'{"id":"evt_2","type":"scan.created","data":{}}\r',
    ]

    results = await published(raws, sink)

    assert [result.status for result in results] == ["accepted", "rejected", "rejected", "accepted"]
    assert [result.id for result in results] == ["evt_1", None, None, "evt_2"]
    assert results[1].error is not None
    assert results[1].error.field == "type"
    assert [as_fanout_reads(record.value).id for record in sink.records] == ["evt_1", "evt_2"]


async def test_a_batch_of_rejects_publishes_nothing() -> None:
    sink = MemorySink()

    await published([b"{}"], sink)

    assert sink.records == []


async def test_a_batch_has_a_limit() -> None:
    with pytest.raises(TooLarge, match="1001 events; 1000 are allowed"):
        await published([b"{}"] * 1_001, MemorySink())


def test_results_leave_out_what_is_unset() -> None:
    accepted = msgspec.json.encode(BatchResult(status="accepted", id="evt_1"))

    assert accepted == b'{"status":"accepted","id":"evt_1"}'


async def test_a_batch_of_a_thousand_with_ten_bad_ones_names_the_ten_and_publishes_the_rest() -> (
    None
):
    sink, bad = MemorySink(), set(range(7, 1_000, 100))
    raws = [
        json.dumps(
            {"id": f"evt_{n}", "type": "qr.scaned" if n in bad else "qr.scanned", "data": {}}
        ).encode()
        for n in range(1_000)
    ]

    results = await published(raws, sink)

    assert {n for n, result in enumerate(results) if result.status == "rejected"} == bad
    assert all(result.error and result.error.field == "type" for result in results if not result.id)
    written = [as_fanout_reads(record.value).id for record in sink.records]
    assert written == [f"evt_{n}" for n in range(1_000) if n not in bad]


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def traced_ports(spans: list[Span], ratio: float = 0.0) -> Ports:
    traces = Tracer(ratio=ratio, sink=spans.append, now_ms=lambda: 2_000_000_000_000)
    return msgspec.structs.replace(ports(), traces=traces)


def in_trace(traceparent: str) -> Posted:
    header = ("traceparent", traceparent.encode())
    return Posted(b'{"id":"evt_1","type":"qr.scanned","data":{}}', (header,))


async def published_headers(given_ports: Ports, posted: Posted) -> list[tuple[str, bytes | None]]:
    sink = given_ports.sink
    assert isinstance(sink, MemorySink)
    await events.publish(given_ports, caller(), posted, origin(given_ports), the_same)
    return list(sink.records[-1].headers)


async def test_an_event_goes_to_kafka_in_the_trace_of_its_request() -> None:
    spans: list[Span] = []
    headers = await published_headers(traced_ports(spans), in_trace(TRACEPARENT))

    (span,) = spans
    assert str(span.parent) == TRACEPARENT
    assert headers == [("traceparent", str(span.context).encode())]
    assert (span.name, span.kind) == ("publish", "producer")
    assert dict(span.attributes)["hooklane.event.id"] == "evt_1"


async def test_an_event_without_a_trace_begins_one_that_fan_out_goes_on_with() -> None:
    spans: list[Span] = []
    posted = Posted(b'{"id":"evt_1","type":"qr.scanned","data":{}}')
    headers = await published_headers(traced_ports(spans, ratio=1.0), posted)

    (span,) = spans
    assert span.parent.span_id == ""
    assert headers == [("traceparent", str(span.context).encode())]


@pytest.mark.parametrize("traceparent", [TRACEPARENT, TRACEPARENT.removesuffix("1") + "0"])
async def test_what_the_gateway_does_not_trace_it_hands_on(traceparent: str) -> None:
    headers = await published_headers(ports(), in_trace(traceparent))

    assert headers == [("traceparent", traceparent.encode())]


async def test_what_is_no_traceparent_ends_at_the_gateway() -> None:
    assert await published_headers(ports(), in_trace("evil\r\nheader")) == []
