"""Bodies: the envelope of each profile around the producer's data, byte for byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.models.endpoints import PayloadFormat
from shared.models.errors import Poison
from shared.models.events import Coordinates, decode_event
from shared.profiles.profile import load_profiles
from shared.rendering.envelope import ENVELOPE_BYTES_MAX, Envelope
from shared.rendering.javascript import canonicalise
from shared.topics import BODY_BYTES_MAX, DEFAULT_TIERS, Tiers

PROFILES = load_profiles(Tiers.parse(DEFAULT_TIERS))
CREATED = "2026-03-15T10:00:00.000Z"


def render(
    profile: str,
    data: bytes,
    event_id: str = "evt_1",
    payload_format: PayloadFormat = "profile",
) -> bytes:
    return Envelope(PROFILES[profile], payload_format).render(
        event_id=event_id,
        event_type="qr.scanned",
        created=CREATED,
        workspace_id="ws_1",
        data=data,
    )


@pytest.mark.parametrize(
    ("profile", "body"),
    [
        (
            "qr3",
            (
                b'{"id":"evt_1","type":"qr.scanned","created":"2026-03-15T10:00:00.000Z",'
                b'"data":{"b":1,"a":"\xc3\xa9"}}'
            ),
        ),
        ("xqr", b'{"event":"qr.scanned","data":{ "b":1.0, "a":"\\u00e9"}}'),
        (
            "standard",
            (
                b'{"type":"qr.scanned","timestamp":"2026-03-15T10:00:00.000Z",'
                b'"data":{ "b":1.0, "a":"\\u00e9"}}'
            ),
        ),
    ],
)
def test_each_profile_has_its_envelope(profile: str, body: bytes) -> None:
    """QR3's data is as JavaScript prints it; the others' is the producer's, untouched."""
    assert render(profile, b'{ "b":1.0, "a":"\\u00e9"}') == body


@pytest.mark.parametrize("profile", ["qr3", "xqr", "standard"])
def test_every_profile_has_every_format(profile: str) -> None:
    data = json.dumps({"b": 1, "a": "é"}).encode()
    shown = render(profile, data)[render(profile, data).index(b'"data":') :]

    assert render(profile, data, payload_format="standard") == (
        b'{"type":"qr.scanned","timestamp":"2026-03-15T10:00:00.000Z",' + shown
    )
    assert render(profile, data, payload_format="cloudevents") == (
        b'{"specversion":"1.0","datacontenttype":"application/json","id":"evt_1","source":"ws_1",'
        b'"type":"qr.scanned","time":"2026-03-15T10:00:00.000Z",' + shown
    )


def test_a_cloud_event_that_we_deliver_is_one_that_we_read() -> None:
    body = render("qr3", b'{"a":1}', payload_format="cloudevents")
    headers = (("content-type", b"application/cloudevents+json; charset=utf-8"),)
    event = decode_event(body, headers, Coordinates("events", 0, 0, 7))
    assert (event.id, event.type, event.workspace_id) == ("evt_1", "qr.scanned", "ws_1")
    assert (event.created, event.data) == (CREATED, b'{"a":1}')


@pytest.mark.parametrize("payload_format", ["standard", "cloudevents"])
def test_what_the_profile_can_send_is_not_too_large_in_another_format(
    payload_format: PayloadFormat,
) -> None:
    room = BODY_BYTES_MAX - len(render("xqr", b'{"a":""}'))
    largest = b'{"a":"%b"}' % (b"x" * room)
    assert len(render("xqr", largest)) == BODY_BYTES_MAX
    body = render("xqr", largest, "x" * 128, payload_format=payload_format)
    assert BODY_BYTES_MAX < len(body) < BODY_BYTES_MAX + ENVELOPE_BYTES_MAX


IDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=50)
@given(event_id=IDS, data=st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_a_body_of_qr3_is_a_fixed_point_of_javascript(event_id: str, data: object) -> None:
    """Whatever visible characters its id has."""
    body = render("qr3", json.dumps(data).encode(), event_id)
    assert canonicalise(body) == body
    assert json.loads(body) == {
        "id": event_id,
        "type": "qr.scanned",
        "created": CREATED,
        "data": data,
    }


@settings(max_examples=30)
@given(data=st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_the_other_bodies_are_json_around_the_producers_bytes(data: object) -> None:
    raw = json.dumps(data, indent=1).encode()
    for profile in ("xqr", "standard"):
        body = render(profile, raw)
        assert raw in body
        assert json.loads(body)["data"] == data


@pytest.mark.parametrize("profile", ["qr3", "xqr", "standard"])
@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"{}}", b'{"a":\xff}', b'{"a":"\xff"}', b'{"a":NaN}', b"{'a':1}", b'{"a":01}'],
)
def test_data_that_is_no_json_is_poison(profile: str, data: bytes) -> None:
    with pytest.raises(Poison, match="data cannot be sent") as raised:
        render(profile, data)
    assert raised.value.field == "data"


@pytest.mark.parametrize("number", [b"12345678901234567890", b"1e400", b"9007199254740993"])
def test_a_number_that_javascript_would_alter_is_poison_where_receivers_could_not_verify(
    number: bytes,
) -> None:
    data = b'{"n":' + number + b"}"
    with pytest.raises(Poison, match="send it as a string"):
        render("qr3", data)
    assert data in render("xqr", data)


def test_nesting_is_bounded() -> None:
    deep = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for profile in PROFILES:
        with pytest.raises(Poison):
            render(profile, deep)


@pytest.mark.parametrize("profile", ["qr3", "standard"])
def test_a_body_may_have_a_mebibyte_and_no_byte_more(profile: str) -> None:
    frame = len(render(profile, b'{"a":""}'))
    fill = b"x" * (BODY_BYTES_MAX - frame)
    assert len(render(profile, b'{"a":"' + fill + b'"}')) == BODY_BYTES_MAX
    with pytest.raises(Poison, match="1048577 bytes as rendered, 1048576 are allowed"):
        render(profile, b'{"a":"' + fill + b'x"}')


def test_the_size_counts_as_rendered() -> None:
    """White space that is not sent does not count."""
    padded = b'{"a":' + b" " * BODY_BYTES_MAX + b"1}"
    assert render("qr3", padded).endswith(b'"data":{"a":1}}')
    with pytest.raises(Poison, match="bytes as rendered"):
        render("xqr", padded)


def test_member_names_are_json_strings() -> None:
    """A profile is a file that somebody wrote."""
    odd = replace(PROFILES["xqr"], body=replace(PROFILES["xqr"].body, members={'a"b': "data"}))
    body = Envelope(odd).render(
        event_id="1", event_type="t", created=CREATED, workspace_id="ws_1", data=b"{}"
    )
    assert json.loads(body) == {'a"b': {}}
