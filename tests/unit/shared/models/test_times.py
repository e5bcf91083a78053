"""Times as text: RFC 3339 in, exactly one form out."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.models.times import iso_ms, parse_ms

YEAR_1_MS = -62_135_596_800_000
YEAR_10000_MS = 253_402_300_800_000
TIMES = st.integers(min_value=YEAR_1_MS, max_value=YEAR_10000_MS - 1)


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_773_568_800_000, "2026-03-15T10:00:00.000Z"),
        (1_773_568_800_007, "2026-03-15T10:00:00.007Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (YEAR_1_MS, "0001-01-01T00:00:00.000Z"),  # the year has four digits, always
        (YEAR_10000_MS - 1, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_time_prints_in_utc_with_milliseconds(time_ms: int, text: str) -> None:
    assert iso_ms(time_ms) == text


@given(time_ms=TIMES)
def test_every_time_survives_being_printed_and_read(time_ms: int) -> None:
    assert parse_ms(iso_ms(time_ms)) == time_ms


@pytest.mark.parametrize("time_ms", [YEAR_1_MS - 1, YEAR_10000_MS, 1 << 62, -(1 << 62)])
def test_a_time_outside_the_calendar_is_refused(time_ms: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        iso_ms(time_ms)


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1970-01-01T00:00:01Z", 1_000),
        ("1970-01-01T01:00:01+01:00", 1_000),
        ("1969-12-31T16:00:01-08:00", 1_000),
        ("1970-01-01t00:00:01z", 1_000),  # RFC 3339, 5.6: lower case is allowed
        ("1970-01-01 00:00:01Z", 1_000),  # and so is a space
        ("1970-01-01T00:00:00.5Z", 500),
        ("1970-01-01T00:00:00.0019999999Z", 1),  # cut, never rounded up
        ("1969-12-31T23:59:59.9999Z", -1),
    ],
)
def test_every_form_of_rfc_3339_is_read(text: str, time_ms: int) -> None:
    assert parse_ms(text) == time_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-03-15",
        "2026-03-15T10:00:00",  # without an offset nobody knows when that was
        "20260315T100000Z",
        "2026-W11-7T10:00:00Z",
        "2026-03-15T10Z",
        "2026-03-15T10:00:00,5Z",
        "2026-03-15T10:00:00.Z",
        "2026-02-30T10:00:00Z",
        "2026-03-15T25:00:00Z",
        "2026-03-15T10:00:00+25:00",
        "\uff12\uff10\uff12\uff16-03-15T10:00:00Z",
        "2026-03-15T10:00:00Z\n",
        " 2026-03-15T10:00:00Z",
        "1773568800",
    ],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an RFC 3339 time such as 2026-03-15T10:00:00.000Z"):
        parse_ms(text)


def test_a_long_text_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ValueError, match="RFC 3339") as raised:
        parse_ms("x" * 10_000)
    assert len(str(raised.value)) < 200


@given(text=st.text(max_size=40))
def test_no_text_raises_anything_but_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        parse_ms(text)
