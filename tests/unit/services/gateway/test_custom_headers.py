"""Custom headers: what they may not be, and that their values are kept like secrets."""

import pytest

from services.gateway.custom_headers import merged, problems, seal
from shared.models.endpoints import header_context
from shared.signing.keyring import Keyring, KeyringError
from tests.unit.services.gateway.fakes import QR3, STANDARD

RING = Keyring({"k1": bytes(32)})


def wrong(name: str, value: str | None = "value") -> str:
    (error,) = problems({name: value}, QR3)
    assert error.field == f"headers.{name[:64]}"
    return error.detail


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "content-length",
        "Content-Type",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Proxy-Authorization",
        "User-Agent",
        "webhook-id",
        "Webhook-Signature",
        "ce-id",
    ],
)
def test_a_header_that_frames_the_message_or_is_hooklanes_is_refused(name: str) -> None:
    assert "set by Hooklane and its transport only" in wrong(name)


@pytest.mark.parametrize("name", ["X-QR3-Signature", "x-qr3-event-id", "X-QR3-ATTEMPT"])
def test_a_header_of_the_profile_is_refused_whatever_its_case(name: str) -> None:
    assert "what receivers know Hooklane by" in wrong(name)
    assert list(problems({name: "value"}, STANDARD)) == []


@pytest.mark.parametrize("name", ["", "a b", "X:Y", "X-É", "X\r\nY"])
def test_a_name_is_a_token(name: str) -> None:
    assert "not a token of RFC 9110" in wrong(name)


@pytest.mark.parametrize("value", ["a\r\nX: b", "\x00", "é", " a", "a "])
def test_a_value_cannot_break_out_of_its_line(value: str) -> None:
    assert "may hold visible ASCII characters" in wrong("X-Key", value)


def test_names_and_values_are_bounded() -> None:
    assert wrong("X" * 65) == "has 65 characters; 64 are allowed"
    assert wrong("X-Key", "") == "has 0 characters; 1 to 1024 are needed"
    assert wrong("X-Key", "x" * 1_025) == "has 1025 characters; 1 to 1024 are needed"


def test_the_mask_is_no_value() -> None:
    """Whoever sends back what was shown must not destroy what is kept."""
    assert "the mask of a value that is kept" in wrong("X-Key", "********")


def test_a_header_is_named_once() -> None:
    (error,) = problems({"X-Key": "a", "x-key": "b"}, QR3)

    assert error.field == "headers.x-key"
    assert "is there twice" in error.detail


def test_good_headers_and_removals_are_taken() -> None:
    assert list(problems({"Authorization": "Bearer a.b-c", "X-Old": None}, QR3)) == []


def test_a_sealed_value_opens_for_its_endpoint_and_header_only() -> None:
    sealed = seal({"X-Key": "letmein", "X-Old": None}, "wh_1", RING, bytes)

    assert sealed["X-Old"] is None
    kept = sealed["X-Key"]
    assert kept is not None
    assert "letmein" not in kept
    assert RING.open(kept, header_context("wh_1", "x-KEY")) == "letmein"
    for context in (header_context("wh_2", "X-Key"), header_context("wh_1", "X-Other"), "wh_1"):
        with pytest.raises(KeyringError):
            RING.open(kept, context)


def test_merging_keeps_replaces_adds_and_removes() -> None:
    current = (("A", "1"), ("B", "2"), ("C", "3"))

    assert merged(current, {"b": "4", "C": None, "D": "5", "E": None}) == (
        ("A", "1"),
        ("b", "4"),
        ("D", "5"),
    )
