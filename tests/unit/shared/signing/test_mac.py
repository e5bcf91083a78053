"""HMAC-SHA256 is the standard library's, whatever the key and however often it is used."""

from __future__ import annotations

import hmac

from hypothesis import given
from hypothesis import strategies as st

from shared.signing.mac import HmacSha256


@given(key=st.binary(max_size=200), messages=st.lists(st.binary(max_size=300), max_size=3))
def test_every_message_has_the_standard_librarys_digest(key: bytes, messages: list[bytes]) -> None:
    made = HmacSha256(key)

    assert [made.digest(one) for one in messages] == [
        hmac.digest(key, one, "sha256") for one in messages
    ]
