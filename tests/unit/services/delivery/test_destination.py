"""What is sent to one endpoint: headers, signature, target; and what makes an endpoint unusable."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest

from services.delivery.destination import Destination
from shared.models.endpoints import EarlierSecret, EndpointState
from shared.policy.retry import Again, Ended
from shared.signing.keyring import KeyringError
from tests.unit.services.delivery.builders import (
    DESTINATIONS,
    SECRET,
    endpoint,
    meta,
    sealed,
)

BODY = b'{"id":"evt_1"}'


def lines(destination: Destination, **given: Any) -> list[str]:
    block = destination.headers(meta(**given), BODY, 1_700_000_000)
    assert block.endswith(b"\r\n")
    return block.decode("ascii").removesuffix("\r\n").split("\r\n")


def test_a_request_says_what_it_is_and_proves_where_it_comes_from() -> None:
    signature = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
    assert lines(DESTINATIONS.make(endpoint()), attempt=3) == [
        "Content-Type: application/json",
        "User-Agent: QR3-Webhooks/1.0",
        "X-QR3-Event-Id: evt_1",
        "X-QR3-Attempt: 3",
        f"X-QR3-Signature: sha256={signature}",
    ]


def test_a_standard_webhook_has_its_three_headers() -> None:
    secret = "whsec_" + base64.b64encode(bytes(32)).decode()
    destination = DESTINATIONS.make(endpoint(profile="standard", secret=sealed(secret=secret)))
    names = [line.split(":")[0] for line in lines(destination)]
    assert names == [
        "Content-Type",
        "User-Agent",
        "webhook-id",
        "webhook-attempt",
        "webhook-timestamp",
        "webhook-signature",
    ]
    assert "webhook-timestamp: 1700000000" in lines(destination)


def test_custom_headers_are_sent_as_given_and_recorded_masked() -> None:
    destination = DESTINATIONS.make(
        endpoint(
            headers=(
                ("X-Api-Key", sealed("wh_1/x-api-key", "letmein")),
                ("Authorization", sealed("wh_1/authorization", "Bearer abc.def")),
            )
        )
    )
    plain = DESTINATIONS.make(endpoint())

    block = destination.headers(meta(), BODY, 1_700_000_000)
    usual = plain.headers(meta(), BODY, 1_700_000_000)

    assert block.count(b"X-Api-Key: letmein\r\nAuthorization: Bearer abc.def\r\n") == 1
    recorded = destination.recorded(meta(), block)
    assert recorded == block.replace(b"letmein", b"********").replace(
        b"Bearer abc.def", b"********"
    )
    assert recorded.replace(b"X-Api-Key: ********\r\nAuthorization: ********\r\n", b"") == usual
    assert plain.recorded(meta(), usual) is usual


WHSEC = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def test_a_request_is_signed_and_labelled_by_the_format_of_its_body() -> None:
    state = endpoint(payload_format="cloudevents", secret=sealed(secret=WHSEC))
    destination = DESTINATIONS.make(state)

    def names(**given: Any) -> list[str]:
        return [line.partition(":")[0] for line in lines(destination, **given)]

    cloud = lines(destination, payload_format="cloudevents")
    assert cloud[0] == "Content-Type: application/cloudevents+json; charset=utf-8"
    assert names(payload_format="cloudevents")[-1] == "X-QR3-Signature"
    assert lines(destination)[0] == "Content-Type: application/json"
    assert names(payload_format="standard") == [
        "Content-Type",
        "User-Agent",
        "webhook-id",
        "webhook-attempt",
        "webhook-timestamp",
        "webhook-signature",
    ]


def test_an_earlier_format_that_the_present_secret_cannot_sign_is_signed_as_the_profile_does() -> (
    None
):
    """The endpoint has changed its format and its secret while a retry was waiting."""
    destination = DESTINATIONS.make(endpoint())
    signature = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
    waiting = lines(destination, payload_format="standard")
    assert "webhook-id: evt_1" in waiting
    assert waiting[-1] == f"X-QR3-Signature: sha256={signature}"


def test_an_endpoint_may_want_its_own_schedule_deadline_and_success_codes() -> None:
    own = DESTINATIONS.make(
        endpoint(retry_delays=("5s",), timeout_ms=2_500, success_codes=("2xx", 404))
    )
    usual = DESTINATIONS.make(endpoint())
    assert own.request(b"A: b\r\n", BODY, 1).timeout_ms == 2_500
    assert [404 in own.successes, 404 in usual.successes, 204 in own.successes] == [
        True,
        False,
        True,
    ]
    failed: dict[str, Any] = {"status": 500, "retry_after": None, "now_ms": 0}
    first = own.retry.after_failure(attempt=1, **failed)
    assert isinstance(first, Again)
    assert first.tier.name == "5s"
    assert own.retry.after_failure(attempt=2, **failed) == Ended("exhausted")
    assert isinstance(usual.retry.after_failure(attempt=2, **failed), Again)


def test_the_request_carries_the_profiles_deadline_and_the_callers_cap() -> None:
    destination = DESTINATIONS.make(endpoint())
    request = destination.request(b"A: b\r\n", BODY, 4_096)
    assert (request.target.host, request.target.path) == ("receiver.example", "/hook")
    assert (request.headers, request.body) == (b"A: b\r\n", BODY)
    assert (request.timeout_ms, request.response_bytes_max) == (15_000, 4_096)


@pytest.mark.parametrize(
    "url", ["http://receiver.example/", "https://user:pw@receiver.example/", "ftp://x/", "", "\x00"]
)
def test_a_url_that_may_not_be_called_is_for_the_log_not_an_error(url: str) -> None:
    """The receiver's owner must see it; every attempt fails with the reason."""
    destination = DESTINATIONS.make(endpoint(url=url))
    assert destination.target is None
    assert destination.refused


def test_a_good_url_is_not_refused() -> None:
    assert DESTINATIONS.make(endpoint()).refused is None


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (endpoint(secret="unknown:AAAA"), KeyringError),
        (endpoint(secret=sealed("wh_2")), KeyringError),  # sealed for another endpoint
        (endpoint(headers=(("X-A", sealed("wh_1/x-b")),)), KeyringError),  # of another header
        (endpoint(profile="retired"), LookupError),
        (endpoint(profile="standard"), ValueError),  # a QR3 secret
        (endpoint(payload_format="standard"), ValueError),
    ],
)
def test_what_is_ours_to_mend_is_an_error(state: EndpointState, error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        DESTINATIONS.make(state)
    assert SECRET not in str(raised.value)


def test_a_rotated_secret_signs_beside_the_new_one_until_it_is_over() -> None:
    old = "qr3_secret_from_before"
    until_ms = 1_700_000_001_000
    state = endpoint(earlier=(EarlierSecret(secret=sealed(secret=old), until_ms=until_ms),))
    destination = DESTINATIONS.make(state)
    by_new, by_old = (hmac.new(s.encode(), BODY, hashlib.sha256).hexdigest() for s in (SECRET, old))

    during = lines(destination)
    after = destination.headers(meta(), BODY, until_ms // 1000).decode().split("\r\n")

    assert during[-2:] == [
        f"X-QR3-Signature: sha256={by_old}",
        f"X-QR3-Signature-All: sha256={by_new}, sha256={by_old}",
    ]
    assert after[-2:] == [f"X-QR3-Signature: sha256={by_new}", ""]


@pytest.mark.parametrize(
    ("payload_format", "earlier", "signatures"),
    [("standard", SECRET, 1), ("standard", WHSEC, 2), ("profile", "whsk_" + "A" * 43 + "=", 1)],
)
def test_a_secret_from_before_a_change_of_format_signs_where_it_fits(
    payload_format: str, earlier: str, signatures: int
) -> None:
    """Nobody verifies with it otherwise, and the webhook goes on."""
    replaced = EarlierSecret(secret=sealed(secret=earlier), until_ms=2_000_000_000_000)
    state = endpoint(
        payload_format=payload_format, secret=sealed(secret=WHSEC), earlier=(replaced,)
    )

    last = lines(DESTINATIONS.make(state), payload_format=payload_format)[-1]

    assert len(last.partition(": ")[2].split(" ")) == signatures


def test_an_earlier_secret_that_does_not_open_is_ours_to_mend() -> None:
    replaced = EarlierSecret(secret=sealed("wh_2"), until_ms=2_000_000_000_000)
    with pytest.raises(KeyringError):
        DESTINATIONS.make(endpoint(earlier=(replaced,)))
