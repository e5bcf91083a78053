"""Header blocks: what may be in them, since what is rendered is written to the wire as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http.messages import RESERVED_NAMES, HeaderRefused, render_headers


def test_headers_are_rendered_in_order_and_in_the_casing_given() -> None:
    pairs = [("webhook-id", "evt_1"), ("X-QR3-Signature", "sha256=ab"), ("Empty", "")]

    assert render_headers(pairs) == (
        b"webhook-id: evt_1\r\nX-QR3-Signature: sha256=ab\r\nEmpty: \r\n"
    )
    assert render_headers([]) == b""


@pytest.mark.parametrize(
    "name", ["", "a b", "a:", "a\r\n", "a\n", "a\x00", "é", "a(b)", " a", "a "]
)
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(HeaderRefused, match="not a token"):
        render_headers([(name, "x")])


@pytest.mark.parametrize(
    "value",
    ["a\r\nX: y", "a\nb", "a\rb", "a\x00", "\x7f", "é", "日", " a", "a ", "\ta", " ", "a\n"],
)
def test_a_value_that_would_not_arrive_as_it_is_is_refused(value: str) -> None:
    with pytest.raises(HeaderRefused, match="'X-A'"):
        render_headers([("X-A", value)])


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_the_senders_own_headers_are_refused_in_any_casing(name: str) -> None:
    for spelling in (name, name.upper(), name.title()):
        with pytest.raises(HeaderRefused, match="set by the sender"):
            render_headers([(spelling, "x")])


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=4))
def test_what_is_rendered_is_as_many_lines_as_pairs(pairs: list[tuple[str, str]]) -> None:
    try:
        block = render_headers(pairs)
    except HeaderRefused:
        return

    lines = block.decode("ascii").split("\r\n")
    assert lines.pop() == ""
    assert lines == [f"{name}: {value}" for name, value in pairs]
    assert "\n" not in "".join(lines)
    assert "\r" not in "".join(lines)
