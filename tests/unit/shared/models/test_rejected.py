"""What the headers on ``events.rejected`` say, and what is copied of a record there."""

import contextlib

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from shared.models.rejected import COPY_BYTES_MAX, OUR_HEADERS, Place, read_rejected

HEADERS = (
    ("traceparent", b"00-1"),
    ("hooklane-rejected-reason", b"unknown event type"),
    ("hooklane-rejected-field", b"type"),
    ("hooklane-rejected-origin", b'{"topic":"events","partition":3,"offset":41,"timestamp_ms":7}'),
    ("hooklane-rejected-workspace", b"ws_1"),
)
VALUE = b'{"type":"qr.scaned","workspace_id":"ws_1","data":{}}'


def test_a_copy_has_what_was_produced_and_why_it_was_rejected() -> None:
    copy = read_rejected(VALUE, HEADERS)

    assert copy is not None
    assert (copy.workspace_id, copy.reason, copy.field) == ("ws_1", "unknown event type", "type")
    assert (copy.value, copy.headers, copy.size) == (VALUE, HEADERS[:1], len(VALUE))
    assert (copy.place, copy.received_ms) == (Place("events", 3, 41, 7), 7)
    assert (copy.event_type, copy.state, copy.whole) == ("qr.scaned", "open", True)


def test_its_id_is_that_of_the_place_where_it_was() -> None:
    elsewhere = (
        "hooklane-rejected-origin",
        b'{"topic":"events","partition":3,"offset":42,"timestamp_ms":7}',
    )
    copies = [
        read_rejected(VALUE, HEADERS),
        read_rejected(VALUE, (("other", b""), *HEADERS)),
        read_rejected(VALUE, (*HEADERS[:3], elsewhere, HEADERS[4])),
    ]

    first, again, other = (copy.id if copy else "" for copy in copies)
    assert first == again != other
    assert first.startswith("rej_")


def test_a_record_of_nobody_has_no_copy() -> None:
    assert read_rejected(VALUE, HEADERS[:4]) is None


def test_a_large_value_is_copied_in_part_and_says_so() -> None:
    copy = read_rejected(b"{" * (COPY_BYTES_MAX + 1), HEADERS)

    assert copy is not None
    assert (len(copy.value), copy.size, copy.whole) == (COPY_BYTES_MAX, COPY_BYTES_MAX + 1, False)


def test_a_record_that_was_cut_says_how_large_it_was() -> None:
    copy = read_rejected(b"{", (*HEADERS, ("hooklane-rejected-cut", b"2000000")))

    assert copy is not None
    assert (copy.size, copy.whole) == (2_000_000, False)


def test_headers_that_are_larger_than_any_event_needs_are_left_out() -> None:
    copy = read_rejected(VALUE, (("noise", b"x" * 20_000), *HEADERS))

    assert copy is not None
    assert (copy.headers, copy.whole) == ((), False)


names = st.sampled_from([*OUR_HEADERS, "ce_type", "other"])
headers = st.lists(st.tuples(names, st.none() | st.binary(max_size=20)), max_size=8)


@given(value=st.none() | st.binary(max_size=50), given_headers=headers)
def test_no_record_raises_anything_but_a_decode_error(
    value: bytes | None, given_headers: list[tuple[str, bytes | None]]
) -> None:
    with contextlib.suppress(msgspec.DecodeError):
        read_rejected(value, given_headers)
