"""Reading events: native JSON and CloudEvents, and nothing but ``Poison`` for the rest."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.models import ids
from shared.models.errors import Poison
from shared.models.events import EVENT_TYPE_LENGTH_MAX, Coordinates, Event, decode_event

AT = Coordinates("events", 3, 41, 1_700_000_000_000)
STRUCTURED = (("content-type", b"application/cloudevents+json"),)
BINARY = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"evt_1"),
    ("ce_type", b"qr.scanned"),
    ("ce_source", b"ws_1"),
)


def native(**members: Any) -> bytes:
    return json.dumps({"type": "qr.scanned", "workspace_id": "ws_1", "data": {}} | members).encode()


def cloud(**members: Any) -> bytes:
    given = {"specversion": "1.0", "id": "evt_1", "type": "qr.scanned", "source": "ws_1"}
    return json.dumps(given | {"data": {}} | members).encode()


def reason(value: bytes | None, headers: Any = ()) -> str:
    with pytest.raises(Poison) as raised:
        decode_event(value, headers, AT)
    return raised.value.reason


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (b'{"workspace_id":"ws_1","data":{}}', "type"),
        (b'{"type":7,"workspace_id":"ws_1","data":{}}', "type"),
        (
            b'{"type":"t","workspace_id":"ws_1","data":{"a":"\\ud800"},"channels":["x",7]}',
            "channels[1]",
        ),
        (b"[]", None),
    ],
)
def test_the_member_at_fault_is_named(value: bytes, field: str | None) -> None:
    with pytest.raises(Poison) as raised:
        decode_event(value, (), AT)

    assert raised.value.field == field


def test_a_native_event_keeps_its_members_and_the_bytes_of_its_data() -> None:
    """``data`` is not parsed: its white space and its numbers are the producer's."""
    value = (
        b'{"id":"evt_9","type":"scan.created","workspace_id":"ws_1",'
        b'"created":"2026-03-15T12:00:00.5+02:00","data": {"n":1.0,\n"big":12345678901234567890} }'
    )
    assert decode_event(value, (), AT) == Event(
        id="evt_9",
        type="scan.created",
        workspace_id="ws_1",
        created="2026-03-15T10:00:00.500Z",
        data=b'{"n":1.0,\n"big":12345678901234567890}',
        accepted_ms=AT.timestamp_ms,
    )


def test_id_and_time_come_from_the_coordinates_when_the_producer_gave_none() -> None:
    """A record that is read twice, after a crash, is one event."""
    event = decode_event(native(), (), AT)
    assert event == decode_event(native(), (), AT)
    assert event.created == "2023-11-14T22:13:20.000Z"
    assert ids.time_ms_of(event.id) == AT.timestamp_ms


@pytest.mark.parametrize(
    "other",
    [
        Coordinates("other", 3, 41, AT.timestamp_ms),
        Coordinates("events", 4, 41, AT.timestamp_ms),
        Coordinates("events", 3, 42, AT.timestamp_ms),
    ],
)
def test_two_records_without_an_id_are_two_events(other: Coordinates) -> None:
    assert decode_event(native(), (), AT).id != decode_event(native(), (), other).id


def test_null_means_absent_for_id_and_created() -> None:
    """Producers that print every member of an object write null for what is not set."""
    assert decode_event(native(id=None, created=None), (), AT) == decode_event(native(), (), AT)


def test_unknown_members_are_ignored() -> None:
    """The contract may grow without breaking those who are ahead of us."""
    grown = native(colours=["red"], version=2, nested={"a": [1, {"b": None}]})
    assert decode_event(grown, (), AT) == decode_event(native(), (), AT)


def test_of_a_member_given_twice_the_last_counts() -> None:
    """As everywhere in JSON that JavaScript reads, and on both ways of reading."""
    twice = b'{"type":"a.b","type":"c.d","workspace_id":"ws_1","data":{}%b}'
    for rest in (b"", b',"x":"\\ud800"'):
        assert decode_event(twice % rest, (), AT).type == "c.d"


def test_lone_surrogates_are_legal_json() -> None:
    """JavaScript producers write them; msgspec refuses them even in what it skips."""
    value = b'{"type":"qr.scanned","workspace_id":"ws_1","data":{"a":"\\ud83d"},"x":"\\udc00"}'
    assert decode_event(value, (), AT).data == b'{"a":"\\ud83d"}'


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "no value"),
        (b"", "no value"),
        (b"   ", "not JSON"),
        (b"{", "not JSON"),
        (b"nonsense", "not JSON"),
        (b"[]", "Expected `object`"),
        (b"null", "Expected `object`"),
        (b'"{}"', "Expected `object`"),
        (b"{}", "missing required field `type`"),
        (b'{"type":"qr.scanned","data":{}}', "missing required field `workspace_id`"),
        (b'{"type":"qr.scanned","workspace_id":"ws_1"}', "missing required field `data`"),
        (native(type=7), "$.type"),
        (native(type=None), "$.type"),
        (native(id=7), "$.id"),
        (native(workspace_id=["ws_1"]), "$.workspace_id"),
        (native()[:-1] + b",}", "not JSON"),
        (native() + b"x", "not JSON"),
        (native() + native(), "not JSON"),
        (b"\xef\xbb\xbf" + native(), "not JSON"),  # a byte order mark: RFC 8259, 8.1
        (native()[:-1] + b',"x":NaN}', "not JSON"),
        (native()[:-1] + b',"x":-Infinity}', "not JSON"),
        (native()[:-1] + b',"x":01}', "not JSON"),
        (native()[:-1] + b",'x':1}", "not JSON"),
        (native().replace(b"qr.scanned", b"qr\xff"), "not valid UTF-8"),
        (native().replace(b"ws_1", b"\xed\xa0\x80"), "not valid UTF-8"),
        (native(x="\ud800").replace(b"qr.scanned", b"qr\xff"), "not valid UTF-8"),
        (native()[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (native(y="\ud800")[:-1] + b',"x":' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_event_is_poison_with_the_reason(value: bytes | None, says: str) -> None:
    assert says in reason(value)


@pytest.mark.parametrize(
    ("members", "field", "says"),
    [
        ({"id": ""}, "id", "1 to 128 visible ASCII"),
        ({"id": "x" * (ids.ID_LENGTH_MAX + 1)}, "id", "1 to 128 visible ASCII"),
        ({"id": "evt 1"}, "id", "visible ASCII"),
        ({"id": "evt\r\nX-Evil: 1"}, "id", "visible ASCII"),  # it is sent in a header
        ({"id": "evt_\x7f"}, "id", "visible ASCII"),
        ({"id": "évt"}, "id", "visible ASCII"),
        ({"id": "\ud800"}, "id", "visible ASCII"),
        ({"type": ""}, "type", "'qr.scanned'"),
        ({"type": "x" * (EVENT_TYPE_LENGTH_MAX + 1)}, "type", "'qr.scanned'"),
        ({"created": ""}, "created", "RFC 3339"),
        ({"created": "2026-03-15"}, "created", "RFC 3339"),
        ({"created": "0001-01-01T00:00:00+14:00"}, "created", "RFC 3339"),
        ({"created": "9999-12-31T23:59:59-14:00"}, "created", "RFC 3339"),
        ({"created": "\ud800"}, "created", "RFC 3339"),
        ({"data": None}, "data", "JSON object"),
        ({"data": []}, "data", "JSON object"),
        ({"data": "{}"}, "data", "JSON object"),
    ],
)
def test_a_wrong_member_is_poison_that_names_the_field_and_the_fix(
    members: dict[str, Any], field: str, says: str
) -> None:
    with pytest.raises(Poison, match=says) as raised:
        decode_event(native(**members), (), AT)
    assert raised.value.field == field


def test_the_longest_id_and_type_are_taken() -> None:
    event = decode_event(native(id="x" * 128, type="t" * EVENT_TYPE_LENGTH_MAX), (), AT)
    assert (len(event.id), len(event.type)) == (128, EVENT_TYPE_LENGTH_MAX)


@pytest.mark.parametrize(
    "headers",
    [
        STRUCTURED,
        (("content-type", b"Application/CloudEvents+JSON; charset=UTF-8"),),
        (),  # its producer could not set a header
        (*BINARY, *STRUCTURED),  # attributes may be copied into headers: the content type decides
    ],
)
def test_a_structured_cloud_event_maps_one_to_one(headers: Any) -> None:
    value = cloud(time="2026-03-15T10:00:00Z", workspaceid="ws_2", data={"a": 1}, subject="x")
    assert decode_event(value, headers, AT) == Event(
        id="evt_1",
        type="qr.scanned",
        workspace_id="ws_2",
        created="2026-03-15T10:00:00.000Z",
        data=b'{"a": 1}',
        accepted_ms=AT.timestamp_ms,
    )


def test_a_cloud_events_workspace_is_its_source_where_no_extension_says_so() -> None:
    assert decode_event(cloud(), STRUCTURED, AT).workspace_id == "ws_1"
    assert decode_event(b"{}", BINARY, AT).workspace_id == "ws_1"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (cloud(datacontenttype="text/xml"), "data must be JSON, not 'text/xml'"),
        (cloud(id=""), "id must be"),
        (b'{"specversion":"1.0","id":"1","type":"t","source":"s"}', "data is missing"),
        (
            b'{"specversion":"1.0","id":"1","type":"t","source":"s","data_base64":""}',
            "data is missing",
        ),
        (b'{"id":"1"}', "missing required field"),
        (b"[]", "Expected `object`"),  # the batch form
        (None, "no value"),
    ],
)
def test_a_structured_cloud_event_that_cannot_be_used_is_poison(
    value: bytes | None, says: str
) -> None:
    assert says in reason(value, STRUCTURED)


def test_a_binary_cloud_event_has_its_attributes_in_headers_and_its_data_in_the_value() -> None:
    headers = (
        *BINARY,
        ("ce_workspaceid", b"ws_2"),
        ("ce_time", b"2026-03-15T10:00:00Z"),
        ("content-type", b"application/vnd.acme+json"),
        ("tracestate", b"\xff\x00"),  # not one of its attributes, so of no account
    )
    assert decode_event(b' {"a": 1}\n', headers, AT) == Event(
        id="evt_1",
        type="qr.scanned",
        workspace_id="ws_2",
        created="2026-03-15T10:00:00.000Z",
        data=b' {"a": 1}\n',
        accepted_ms=AT.timestamp_ms,
    )


@pytest.mark.parametrize("name", ["id", "type", "source"])
@pytest.mark.parametrize("text", [b"", None])
def test_a_binary_cloud_event_needs_its_attributes(name: str, text: bytes | None) -> None:
    """Kafka allows a header without a value: that is no attribute either."""
    headers = tuple((key, text if key == f"ce_{name}" else given) for key, given in BINARY)
    assert f"ce_{name} is missing" in reason(b"{}", headers)


@pytest.mark.parametrize(
    ("value", "headers", "says"),
    [
        (None, BINARY, "data is missing"),
        (b"", BINARY, "data is missing"),
        (b"[]", BINARY, "JSON object"),
        (b"{}", (*BINARY, ("ce_id", b"\xff")), "not UTF-8"),
        (b"{}", (*BINARY, ("content-type", b"\xff")), "not UTF-8"),
        (b"{}", (*BINARY, ("content-type", b"text/plain")), "data must be JSON"),
        (b"{}", (*BINARY, ("ce_time", b"now")), "RFC 3339"),
    ],
)
def test_a_binary_cloud_event_that_cannot_be_used_is_poison(
    value: bytes | None, headers: Any, says: str
) -> None:
    assert says in reason(value, headers)


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["content-type", "ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", ""]
        ),
        st.none() | st.binary(max_size=12) | st.sampled_from([value for _, value in STRUCTURED]),
    ),
    max_size=6,
)


@st.composite
def damaged_events(draw: st.DrawFn) -> bytes:
    """An event in which some bytes were replaced, removed or put in."""
    value = bytearray(
        draw(st.sampled_from([native(id="1", created="x"), cloud(), native(x="\ud800")]))
    )
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(value)))
        until = draw(st.integers(at, min(at + 3, len(value))))
        value[at:until] = draw(
            st.sampled_from(
                [b"", b'"', b"\\", b"\\u", b"{", b"]", b",", b"\xff", b"\x00", b"1e999"]
            )
            | st.binary(max_size=3)
        )
    return bytes(value)


@settings(max_examples=60)
@given(value=damaged_events() | st.binary(max_size=60), headers=HEADERS)
@example(value=b'{"type":"\xff","workspace_id":"w","data":{}}', headers=[])
@example(value=b"{}", headers=[("ce_specversion", None)])
def test_nothing_that_a_producer_writes_raises_anything_but_poison(
    value: bytes, headers: list[tuple[str, bytes | None]]
) -> None:
    with contextlib.suppress(Poison):
        event = decode_event(value, headers, AT)
        assert event.id.isascii()
        assert event.type


@settings(max_examples=60)
@given(value=damaged_events())
def test_what_is_taken_is_json_and_is_read_as_json_reads_it(value: bytes) -> None:
    """The two ways of reading, msgspec's and the slow one, agree with the standard library."""
    try:
        event = decode_event(value, (), AT)
        text = value.decode()
    except (Poison, UnicodeDecodeError):
        return  # invalid UTF-8 in what is ignored is ignored
    members = json.loads(text)
    assert event.type == members["type"]
    assert event.workspace_id == members.get("workspace_id", members.get("source"))
    assert json.loads(event.data) == members["data"]


def test_an_event_may_be_on_channels() -> None:
    binary = (*BINARY, ("ce_channels", b"eu, vip"))
    for value, headers in (
        (native(channels=["eu", "vip"]), ()),
        (cloud(channels="eu,vip"), STRUCTURED),
        (b"{}", binary),
    ):
        assert decode_event(value, headers, AT).channels == ("eu", "vip")
    assert decode_event(native(channels=None), (), AT).channels == ()
    assert decode_event(native(), (), AT).channels == ()


@pytest.mark.parametrize(
    "channels", [["a"] * 11, [""], ["a b"], ["é"], ["a,b"], ["x" * 129], ["a\n"]]
)
def test_channels_are_few_and_plain(channels: list[str]) -> None:
    assert "channels must be up to 10 names" in reason(native(channels=channels))


def test_channels_are_a_list_of_texts() -> None:
    assert "channels" in reason(native(channels="eu"))
    assert "channels" in reason(native(channels=[1]))
