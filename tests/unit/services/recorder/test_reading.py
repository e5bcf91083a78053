"""Whatever is in a record, the partition is read on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recorder.reading import read
from shared.models.attempts import encode_attempt
from shared.models.deliveries import DeliveryMeta, encode_meta
from shared.storage.chunks import Logged
from shared.topics import RECORD_BYTES_MAX
from tests.unit.services.recorder.kit import attempt, record

FOREIGN = DeliveryMeta("evt_1", "a", "ws_1", 1, "event", 1, 1, 1)


def test_attempts_are_read_with_their_offsets_and_bytes() -> None:
    first, second = attempt("success"), attempt("failed", response_body=b"\x00\xff")
    values = [encode_attempt(first), encode_attempt(second)]
    reads, unreadable = read([record(4, values[0]), record(9, values[1])])

    assert reads == [Logged(first, 4, values[0]), Logged(second, 9, values[1])]
    assert unreadable == []


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{}",
        b"[" * 100_000,
        b'{"x":' + b"[" * 100_000,
        encode_attempt(attempt())[:-1],
        encode_attempt(attempt(endpoint_id="wh_?")).replace(b"?", b"\xff"),
        encode_attempt(attempt(started_ms=1 << 60)),
        encode_attempt(attempt(ended_ms=10**30)),
        encode_attempt(attempt(due_ms=-1)),
        encode_attempt(attempt(epoch=1 << 63)),
        encode_attempt(attempt()) + b" " * RECORD_BYTES_MAX,
        encode_meta(FOREIGN),
    ],
)
def test_what_is_no_attempt_is_named_and_passed_over(value: bytes | None) -> None:
    good = encode_attempt(attempt())
    reads, unreadable = read([record(0, good), record(1, value), record(2, good)])

    assert [one.offset for one in reads] == [0, 2]
    ((partition, offset, reason),) = unreadable
    assert (partition, offset) == (0, 1)
    assert reason


@given(st.binary(max_size=200))
def test_no_bytes_whatever_raise(value: bytes) -> None:
    reads, unreadable = read([record(0, value)])

    assert len(reads) + len(unreadable) == 1
