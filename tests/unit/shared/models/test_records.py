"""The wire form of our own records: new code reads what old code wrote, and tells foreign bytes.

The golden bytes below were written once and are never edited: a change of a record type that cannot
read them would strand what is in the topics at the moment of an upgrade.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.models import wire
from shared.models.attempts import (
    Attempt,
    Finished,
    decode_attempt,
    decode_finished,
    delivery_id_in,
    encode_attempt,
)
from shared.models.deliveries import (
    META_HEADER,
    DeliveryMeta,
    decode_meta,
    encode_meta,
    meta_of,
)
from shared.models.endpoints import (
    EndpointState,
    WorkspaceState,
    decode_state,
    encode_state,
)

META_EARLIER = DeliveryMeta("evt_1", "qr.scanned", "ws_1", 2, "event", 7, 1_000, 2_000, 1, 3_000)
META_FORMATTED = msgspec.structs.replace(META_EARLIER, payload_format="cloudevents")
META = msgspec.structs.replace(
    META_FORMATTED, failed_ms=1_500, workspace_revision=5, traceparent="00-1"
)
META_GOLDEN = bytes.fromhex(
    "9ea56576745f31aa71722e7363616e6e6564a477735f3102a56576656e7407cd03e8cd07d001cd0bb8"
    "ab636c6f75646576656e7473cd05dc05a430302d31"
)
META_FORMATTED_GOLDEN = bytes.fromhex(
    "9ba56576745f31aa71722e7363616e6e6564a477735f3102a56576656e7407cd03e8cd07d001cd0bb8"
    "ab636c6f75646576656e7473"
)
META_EARLIER_GOLDEN = bytes.fromhex(
    "9aa56576745f31aa71722e7363616e6e6564a477735f3102a56576656e7407cd03e8cd07d001cd0bb8"
)
META_OLDEST = bytes.fromhex(
    "98a56576745f31aa71722e7363616e6e6564a477735f3102a56576656e7407cd03e8cd07d0"
)

ATTEMPT = Attempt(
    workspace_id="ws_1",
    endpoint_id="wh_1",
    event_id="evt_1",
    event_type="qr.scanned",
    trigger="event",
    attempt=2,
    status="failed",
    final=False,
    due_ms=2_000,
    started_ms=2_001,
    partition=3,
    offset=41,
    revision=7,
    epoch=1,
    status_code=500,
    response_headers=(("Server", "x"),),
    response_body=b"\x00\xff",
    timing_ms={"total": 1.5},
    next_attempt_ms=9_000,
)
ATTEMPT_GOLDEN = (
    b'{"workspace_id":"ws_1","endpoint_id":"wh_1","event_id":"evt_1","event_type":"qr.scanned",'
    b'"trigger":"event","attempt":2,"status":"failed","final":false,"due_ms":2000,'
    b'"started_ms":2001,"partition":3,"offset":41,"revision":7,"epoch":1,"status_code":500,'
    b'"response_headers":[["Server","x"]],"response_body":"AP8=","timing_ms":{"total":1.5},'
    b'"next_attempt_ms":9000}'
)

ENDPOINT = EndpointState(
    id="wh_1",
    workspace_id="ws_1",
    profile="qr3",
    url="https://example.com/",
    events=("qr.scanned", "*"),
    secret="k:c2VhbGVk",
    active=False,
    disabled_reason="gone",
    revision=7,
    epoch=2,
)
ENDPOINT_GOLDEN = (
    b'{"id":"wh_1","workspace_id":"ws_1","profile":"qr3","url":"https://example.com/",'
    b'"events":["qr.scanned","*"],"secret":"k:c2VhbGVk","active":false,"disabled_reason":"gone",'
    b'"revision":7,"epoch":2}'
)
ENDPOINT_OLDEST = (
    b'{"id":"wh_1","workspace_id":"ws_1","profile":"qr3","url":"https://example.com/",'
    b'"events":["qr.scanned"],"secret":"k:c2VhbGVk"}'
)
WORKSPACE = WorkspaceState(id="ws_1", profile="qr3", name="Café", revision=3)
WORKSPACE_GOLDEN = '{"id":"ws_1","profile":"qr3","name":"Café","revision":3}'.encode()


def test_the_wire_form_of_each_record_is_the_golden_one() -> None:
    assert encode_meta(META) == META_GOLDEN
    assert encode_attempt(ATTEMPT) == ATTEMPT_GOLDEN
    assert encode_state(ENDPOINT) == ENDPOINT_GOLDEN
    assert encode_state(WORKSPACE) == WORKSPACE_GOLDEN


def test_golden_bytes_are_read() -> None:
    assert decode_meta(META_GOLDEN) == META
    assert decode_meta(META_FORMATTED_GOLDEN) == META_FORMATTED
    assert decode_meta(META_EARLIER_GOLDEN) == META_EARLIER
    assert decode_attempt(ATTEMPT_GOLDEN) == ATTEMPT
    assert decode_state("wh_1", ENDPOINT_GOLDEN) == ENDPOINT
    assert decode_state("ws_1", WORKSPACE_GOLDEN) == WORKSPACE


def test_records_from_before_the_newest_fields_are_read() -> None:
    oldest = decode_state("wh_1", ENDPOINT_OLDEST)
    assert isinstance(oldest, EndpointState)
    assert (oldest.active, oldest.revision, oldest.epoch) == (True, 1, 1)
    assert decode_meta(META_OLDEST) == msgspec.structs.replace(
        META_EARLIER, parks=0, not_before_ms=0
    )


def test_records_with_fields_of_a_later_version_are_read() -> None:
    """During a roll-out old readers see what new writers write."""
    longer = bytes([META_GOLDEN[0] + 1]) + META_GOLDEN[1:] + b"\x81\xa1a\x92\x01\x02"
    assert decode_meta(longer) == META
    assert decode_attempt(ATTEMPT_GOLDEN[:-1] + b',"later":{"a":[1]}}') == ATTEMPT
    assert decode_state("wh_1", ENDPOINT_GOLDEN[:-1] + b',"later":[]}') == ENDPOINT


def test_the_journal_reads_its_part_of_an_attempt() -> None:
    assert decode_finished(ATTEMPT_GOLDEN) == Finished("wh_1", "evt_1", "event", 2, False, 41)


def test_a_state_belongs_to_the_key_of_its_record() -> None:
    """Else two keys could hold one endpoint, and deleting either would leave the other."""
    for key, value in (("wh_2", ENDPOINT_GOLDEN), ("ws_2", WORKSPACE_GOLDEN)):
        with pytest.raises(msgspec.DecodeError, match=key):
            decode_state(key, value)


def test_the_keys_prefix_says_what_the_state_is() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_state("ws_1", b"[]")
    with pytest.raises(msgspec.DecodeError):
        decode_state("wh_1", WORKSPACE_GOLDEN)


def test_a_retry_may_go_when_both_its_times_have_come() -> None:
    assert META.wait_until_ms == 3_000
    assert msgspec.structs.replace(META, not_before_ms=0).wait_until_ms == 2_000


def test_all_attempts_of_a_delivery_have_one_identity() -> None:
    later = msgspec.structs.replace(META, attempt=3, parks=0, due_ms=9, revision=8)
    assert META.identity("wh_1") == later.identity("wh_1")
    assert META.identity("wh_1") != META.identity("wh_2")
    assert META.identity("wh_1") != msgspec.structs.replace(META, trigger="ping").identity("wh_1")


def test_metadata_is_found_among_other_headers() -> None:
    headers = (("traceparent", b"\xff"), (META_HEADER, META_GOLDEN))
    assert meta_of(headers) == META
    assert meta_of(headers[:1]) is None
    assert meta_of(()) is None


def test_a_header_without_a_value_is_no_metadata() -> None:
    """Kafka allows it; it is foreign bytes like any other."""
    with pytest.raises(msgspec.DecodeError):
        meta_of(((META_HEADER, None),))


def test_a_row_of_the_log_has_the_same_id_at_each_reading_and_every_attempt_its_own() -> None:
    known = ATTEMPT.delivery_id()
    again = msgspec.structs.replace(ATTEMPT, partition=9, offset=9, started_ms=9, status="success")
    assert again.delivery_id() == known
    assert delivery_id_in(encode_attempt(again)) == known
    for change in ({"attempt": 3}, {"trigger": "ping"}, {"endpoint_id": "wh_2"}, {"event_id": "e"}):
        assert msgspec.structs.replace(ATTEMPT, **change).delivery_id() != known


DEEP_JSON = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
DEEP_META = bytes([0x9B]) + META_GOLDEN[1:] + b"\x91" * 100_000 + b"\x00"

READERS: list[tuple[Callable[[bytes], Any], bytes]] = [
    (decode_meta, META_GOLDEN),
    (decode_attempt, ATTEMPT_GOLDEN),
    (decode_finished, ATTEMPT_GOLDEN),
    (delivery_id_in, ATTEMPT_GOLDEN),
    (lambda value: decode_state("wh_1", value), ENDPOINT_GOLDEN),
    (lambda value: decode_state("ws_1", value), WORKSPACE_GOLDEN),
]


@pytest.mark.parametrize(
    ("read", "foreign"),
    [
        *((read, b"") for read, _ in READERS),
        *((read, DEEP_JSON) for read, _ in READERS),
        *((read, golden[: len(golden) // 2]) for read, golden in READERS),
        (decode_meta, DEEP_META),
        (decode_meta, META_GOLDEN.replace(b"qr.scanned", b"qr.scann\xff\xff")),
        (decode_attempt, ATTEMPT_GOLDEN.replace(b"ws_1", b"ws_\xff")),
        (decode_finished, ATTEMPT_GOLDEN.replace(b"wh_1", b"wh_\xff")),
        (READERS[4][0], ENDPOINT_GOLDEN.replace(b"qr3", b"\xed\xa0\x80")),
    ],
)
def test_foreign_bytes_are_one_kind_of_error(read: Callable[[bytes], Any], foreign: bytes) -> None:
    """Not UTF-8 and thousands of levels included: a reader must get past such a record."""
    with pytest.raises(msgspec.DecodeError):
        read(foreign)


@settings(max_examples=60)
@given(st.data())
def test_no_damage_to_a_record_raises_anything_else(data: st.DataObject) -> None:
    read, golden = data.draw(st.sampled_from(READERS))
    at = data.draw(st.integers(0, len(golden) - 1))
    damaged = golden[:at] + data.draw(st.binary(max_size=3)) + golden[at + 1 :]
    with contextlib.suppress(msgspec.DecodeError):
        read(damaged)


def test_decoding_passes_good_values_through() -> None:
    assert wire.decode(msgspec.json.Decoder(list[int]), b"[1, 2]") == [1, 2]
