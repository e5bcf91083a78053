"""What is sent to one endpoint: headers, signature, target; and what makes an endpoint unusable."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest

from services.delivery.destination import Destination
from shared.models.endpoints import EndpointState
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
    recorded = destination.recorded(block)
    assert recorded == block.replace(b"letmein", b"********").replace(
        b"Bearer abc.def", b"********"
    )
    assert recorded.replace(b"X-Api-Key: ********\r\nAuthorization: ********\r\n", b"") == usual
    assert plain.recorded(usual) is usual


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
    ],
)
def test_what_is_ours_to_mend_is_an_error(state: EndpointState, error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        DESTINATIONS.make(state)
    assert SECRET not in str(raised.value)
