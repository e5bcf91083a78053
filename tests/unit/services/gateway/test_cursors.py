"""Cursors are handed back as they were given, and nothing else is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.cursors import decode_cursor, encode_cursor
from shared.models import ids
from shared.models.errors import Invalid


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_cursor_holds_its_id(time_ms: int, entropy: bytes) -> None:
    identifier = ids.new_id(ids.ENDPOINT, time_ms, entropy)

    assert decode_cursor(encode_cursor(identifier), ids.ENDPOINT) == identifier


@given(st.text(max_size=80))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="next_cursor"):
        decode_cursor(text, ids.ENDPOINT)


def test_a_cursor_of_another_list_is_refused() -> None:
    cursor = encode_cursor(ids.new_id(ids.DELIVERY, 1, bytes(10)))

    with pytest.raises(Invalid):
        decode_cursor(cursor, ids.ENDPOINT)
