"""Secrets at rest: sealed for one endpoint, opened by every key of the ring, never shown."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.signing.keyring import KEY_BYTES, NONCE_BYTES, Keyring, KeyringError

OLD, NEW = bytes(range(KEY_BYTES)), bytes(range(1, KEY_BYTES + 1))
NONCE = bytes(NONCE_BYTES)
SECRET = "whsec_topsecret"


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


@settings(max_examples=40)
@given(
    secret=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    nonce=st.binary(min_size=12, max_size=12),
)
def test_what_is_sealed_opens_for_the_same_endpoint(secret: str, nonce: bytes) -> None:
    ring = Keyring({"a": OLD})
    assert ring.open(ring.seal(secret, "wh_1", nonce), "wh_1") == secret


def test_a_secret_sealed_for_one_endpoint_does_not_open_for_another() -> None:
    """Whoever can write to the database cannot move a secret."""
    ring = Keyring({"a": OLD})
    with pytest.raises(KeyringError, match="wh_2 does not open"):
        ring.open(ring.seal(SECRET, "wh_1", NONCE), "wh_2")


def test_the_first_key_seals_and_every_key_opens() -> None:
    """Rotation: put a new key in front, seal again, drop the old one."""
    before = Keyring.parse(f"old:{encoded(OLD)}")
    during = Keyring.parse(f"new:{encoded(NEW)}, old:{encoded(OLD)},")
    after = Keyring.parse(f"new:{encoded(NEW)}")
    sealed = before.seal(SECRET, "wh_1", NONCE)
    assert during.open(sealed, "wh_1") == SECRET
    again = during.seal(SECRET, "wh_1", NONCE)
    assert again.startswith("new:")
    assert after.open(again, "wh_1") == SECRET
    with pytest.raises(KeyringError, match="none of the ring's keys: new"):
        after.open(sealed, "wh_1")


def test_no_altered_text_opens() -> None:
    ring = Keyring({"a": OLD})
    sealed = ring.seal(SECRET, "wh_1", NONCE)
    raw = base64.b64decode(sealed.partition(":")[2])
    for at in range(len(raw)):
        altered = bytearray(raw)
        altered[at] ^= 1
        with pytest.raises(KeyringError):
            ring.open(f"a:{encoded(bytes(altered))}", "wh_1")


@pytest.mark.parametrize(
    "sealed", ["", ":", "a", "a:", "a:!", "a:é", "a:AAAA", "a:" + "A" * 40, SECRET]
)
def test_what_is_not_sealed_does_not_open(sealed: str) -> None:
    with pytest.raises(KeyringError, match="wh_1"):
        Keyring({"a": OLD}).open(sealed, "wh_1")


@pytest.mark.parametrize("size", [0, NONCE_BYTES - 1, NONCE_BYTES + 1])
def test_a_nonce_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(KeyringError, match=f"nonce has {size} bytes"):
        Keyring({"a": OLD}).seal(SECRET, "wh_1", bytes(size))


@pytest.mark.parametrize("text", ["", " , "])
def test_an_empty_ring_says_what_to_set(text: str) -> None:
    with pytest.raises(KeyringError, match="set HOOKLANE_SECRET_KEYS to <id>:<base64 of 32 bytes>"):
        Keyring.parse(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (encoded(OLD), "key 1"),  # the id was left out
        (f"{encoded(OLD)}:a", "key 1"),  # or put behind
        (f"a:{encoded(OLD)[:-4]}", "key 1"),
        (f"a:{encoded(OLD)}, b:{encoded(NEW)}x", "key 2"),
        (f"a:{encoded(OLD)},b:é{encoded(NEW)}", "key 2"),
        (f"a:{encoded(OLD)},a:{encoded(NEW)}", "key 2 .* its id was used before"),
        (f"a-b:{encoded(OLD)}", "key 1"),
    ],
)
def test_an_unusable_key_is_told_by_its_number(text: str, says: str) -> None:
    """Not by its text: what looks like its id may be the key."""
    with pytest.raises(KeyringError, match=says) as raised:
        Keyring.parse(text)
    assert "HOOKLANE_SECRET_KEYS" in str(raised.value)
    for key in (OLD, NEW):
        assert encoded(key)[:12] not in str(raised.value)


def test_neither_keys_nor_secrets_show() -> None:
    ring = Keyring.parse(f"a:{encoded(OLD)}")
    assert repr(ring) == "<Keyring a>"
    with pytest.raises(KeyringError) as raised:
        ring.open(SECRET, "wh_1")  # it was never sealed
    assert SECRET not in str(raised.value)
    with pytest.raises(KeyringError) as raised:
        ring.open(f"{SECRET}:AAAA", "wh_1")
    assert SECRET not in str(raised.value)
