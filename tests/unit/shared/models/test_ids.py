"""Ids: prefixed, sorted by time, and derived ones the same at every reading."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.models import ids

TIMES = st.integers(min_value=0, max_value=(1 << 48) - 1)
ENTROPY = bytes(range(ids.ENTROPY_BYTES))


def test_an_id_is_the_prefix_the_time_and_the_entropy() -> None:
    assert ids.new_id(ids.EVENT, 0x0123456789AB, ENTROPY) == "evt_0123456789ab00010203040506070809"


@given(first=TIMES, second=TIMES)
def test_ids_sort_by_their_time(first: int, second: int) -> None:
    """The log's pages depend on it."""
    earlier, later = sorted((first, second))
    if earlier < later:
        assert ids.new_id("whd", earlier, b"\xff" * 10) < ids.new_id("whd", later, b"\x00" * 10)


@given(time_ms=TIMES, entropy=st.binary(min_size=10, max_size=10))
def test_an_id_gives_its_time_back(time_ms: int, entropy: bytes) -> None:
    assert ids.time_ms_of(ids.new_id(ids.DELIVERY, time_ms, entropy)) == time_ms


@given(time_ms=st.integers())
def test_a_time_that_does_not_fit_is_clamped(time_ms: int) -> None:
    """A record's timestamp may be anything; an id is always as long."""
    identifier = ids.derived_id("evt", time_ms, "part")
    assert len(identifier) == len("evt_") + 32
    assert 0 <= ids.time_ms_of(identifier) < 1 << 48


@given(time_ms=TIMES, entropy=st.binary(min_size=10, max_size=10))
def test_the_floor_is_below_every_id_of_its_time_and_above_those_before(
    time_ms: int, entropy: bytes
) -> None:
    floor = ids.id_floor("whd", time_ms)
    assert floor < ids.new_id("whd", time_ms, entropy)
    if time_ms:
        assert ids.new_id("whd", time_ms - 1, entropy) < floor


@pytest.mark.parametrize("size", [0, ids.ENTROPY_BYTES - 1, ids.ENTROPY_BYTES + 1])
def test_entropy_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"entropy has {size} bytes"):
        ids.new_id("evt", 0, b"\x00" * size)


def test_a_derived_id_depends_on_the_time_and_on_each_part() -> None:
    """The same thing read twice has one id, and two things have two."""
    known = ids.derived_id("evt", 1, "events", "0", "7")
    assert known == ids.derived_id("evt", 1, "events", "0", "7")
    others = {
        ids.derived_id("evt", 2, "events", "0", "7"),
        ids.derived_id("evt", 1, "events", "07", ""),
        ids.derived_id("evt", 1, "events", "0", "8"),
        ids.derived_id("evt", 1, "events0", "7"),
        ids.derived_id("evt", 1, "events", "7", "0"),
    }
    assert len(others) == 5
    assert known not in others


def test_the_derivation_never_changes() -> None:
    """Rows in the log are found again under the id that an older version gave them."""
    assert ids.derived_id("whd", 1_700_000_000_000, "wh_1", "evt_1", "event", "1") == (
        "whd_018bcfe56800d390d6e8b1094cfb4d0c"
    )


def test_text_that_is_no_unicode_can_be_a_part() -> None:
    """A lone surrogate gets through JSON; it must not raise here."""
    assert ids.derived_id("evt", 0, "\ud800") != ids.derived_id("evt", 0, "\ud801")
