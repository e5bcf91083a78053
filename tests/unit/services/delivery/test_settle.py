"""From an outcome to the attempt's record and to what continues the delivery."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.destination import Destination, Sent
from services.delivery.settle import FollowUp, Origin, Settlement, discard, park, settle
from shared.http.messages import Outcome
from shared.models.attempts import decode_attempt, encode_attempt
from shared.models.deliveries import META_HEADER, REASON_HEADER, DeliveryMeta, decode_meta
from tests.unit.services.delivery.builders import (
    ACCEPTED_MS,
    DESTINATIONS,
    TIERS,
    answered,
    endpoint,
    meta,
    sealed,
    timing,
    unanswered,
)

DESTINATION = DESTINATIONS.make(endpoint(revision=7, epoch=3))
STARTED_MS, ENDED_MS = ACCEPTED_MS + 5, ACCEPTED_MS + 20
SENT = Sent(b"Content-Type: application/json\r\n", STARTED_MS)


def origin(**given: Any) -> Origin:
    return Origin("wh_1", 4, 41, b"{}", meta(**given))


def settled(outcome: Outcome, destination: Destination = DESTINATION, **given: Any) -> Settlement:
    return settle(origin(**given), destination, SENT, outcome, ENDED_MS)


def continued(settlement: Settlement) -> tuple[str, DeliveryMeta]:
    assert settlement.follow_up is not None
    headers = dict(settlement.follow_up.headers)
    return settlement.follow_up.topic, decode_meta(headers[META_HEADER])


def test_the_record_shows_custom_headers_masked() -> None:
    destination = DESTINATIONS.make(endpoint(headers=(("X-Key", sealed("wh_1/x-key", "letmein")),)))
    sent = Sent(destination.headers(meta(), b"{}", 1), STARTED_MS)

    attempt = settle(origin(), destination, sent, answered(200), ENDED_MS).attempt

    assert b"X-Key: letmein" in sent.headers
    assert attempt.request_headers is not None
    assert "X-Key: ********\r\n" in attempt.request_headers
    assert "letmein" not in attempt.request_headers


def test_the_endpoint_says_what_a_success_is() -> None:
    destination = DESTINATIONS.make(endpoint(success_codes=(302,)))
    assert settled(answered(302), destination).attempt.status == "success"
    refused = settled(answered(200), destination)
    assert (refused.attempt.status, refused.attempt.status_code) == ("failed", 200)
    assert refused.follow_up is not None


def test_what_continues_a_delivery_keeps_the_format_of_its_body() -> None:
    _, following = continued(settled(answered(500), payload_format="cloudevents"))
    assert following.payload_format == "cloudevents"


def test_a_success_ends_the_delivery() -> None:
    settlement = settled(
        answered(
            204,
            headers=(("Server", "x"), ("X-É", "ÿ")),
            body=b"\xff",
            body_truncated=True,
            timing=timing(12.346, 11.0),
        ),
        attempt=2,
    )
    assert settlement.follow_up is None
    attempt = settlement.attempt
    assert (attempt.status, attempt.final, attempt.reason) == ("success", True, None)
    assert (attempt.attempt, attempt.status_code, attempt.next_attempt_ms) == (2, 204, None)
    assert (attempt.partition, attempt.offset) == (4, 41)
    assert (attempt.revision, attempt.epoch, attempt.url) == (7, 3, "https://receiver.example/hook")
    assert (attempt.due_ms, attempt.started_ms, attempt.ended_ms) == (
        ACCEPTED_MS,
        STARTED_MS,
        ENDED_MS,
    )
    assert attempt.request_headers == "Content-Type: application/json\r\n"
    assert attempt.response_headers == (("Server", "x"), ("X-É", "ÿ"))
    assert (attempt.response_body, attempt.response_truncated) == (b"\xff", True)
    assert (attempt.response_time_ms, attempt.address) == (12.3, "192.0.2.1")
    assert attempt.timing_ms == {"first_byte": 11.0, "total": 12.35}
    assert decode_attempt(encode_attempt(attempt)) == attempt


@pytest.mark.parametrize("outcome", [answered(500), answered(301), unanswered("timeout")])
def test_a_failure_is_followed_by_the_next_attempt(outcome: Outcome) -> None:
    settlement = settled(outcome, parks=3, not_before_ms=9)
    topic, following = continued(settlement)
    assert topic == "retry.1m"
    expected = meta(attempt=2, due_ms=ENDED_MS + 60_000, failed_ms=ENDED_MS)
    assert following == expected, "parkings start afresh"
    attempt = settlement.attempt
    assert (attempt.status, attempt.final, attempt.reason) == ("failed", False, None)
    assert attempt.next_attempt_ms == following.due_ms


def test_no_answer_is_told_by_kind_and_in_words() -> None:
    attempt = settled(unanswered("tls", message="certificate expired", address="192.0.2.7")).attempt
    assert (attempt.error, attempt.error_message) == ("tls", "certificate expired")
    assert (attempt.status_code, attempt.address) == (None, "192.0.2.7")
    assert attempt.response_body == b""


def test_the_identity_of_a_delivery_never_changes() -> None:
    """Receivers see the same id, and the dedupe finds it."""
    _, following = continued(settled(answered(500)))
    assert following.identity("wh_1") == meta().identity("wh_1")
    assert following.accepted_ms == ACCEPTED_MS


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
def test_retry_after_is_heard_in_any_casing(name: str) -> None:
    topic, following = continued(settled(answered(503, headers=((name, "200"),))))
    assert (topic, following.due_ms) == ("retry.5m", ENDED_MS + 300_000)


@given(value=st.text(st.characters(max_codepoint=255), max_size=30))
def test_whatever_a_receiver_answers_the_attempt_is_settled_and_can_be_written(value: str) -> None:
    outcome = answered(503, headers=(("Retry-After", value), (value, value)), body=value.encode())
    settlement = settled(outcome)
    assert settlement.follow_up is not None
    assert decode_attempt(encode_attempt(settlement.attempt)) == settlement.attempt


@pytest.mark.parametrize(
    ("outcome", "number", "reason"),
    [(answered(500), 3, "exhausted"), (unanswered(), 4, "exhausted"), (answered(410), 1, "gone")],
)
def test_the_last_failure_goes_to_the_dead_letters_as_it_was(
    outcome: Outcome, number: int, reason: str
) -> None:
    settlement = settled(outcome, attempt=number)
    topic, kept = continued(settlement)
    assert (topic, kept) == ("deliveries.dead", meta(attempt=number))
    assert settlement.follow_up is not None
    assert dict(settlement.follow_up.headers)[REASON_HEADER] == reason.encode()
    assert (settlement.attempt.final, settlement.attempt.reason) == (True, reason)


@pytest.mark.parametrize("outcome", [answered(500), answered(410), unanswered("timeout")])
def test_a_ping_is_one_attempt_and_no_dead_letter(outcome: Outcome) -> None:
    """Whoever asked for it looks at its result and asks again."""
    settlement = settled(outcome, trigger="ping")
    assert settlement.follow_up is None
    assert (settlement.attempt.final, settlement.attempt.reason) == (True, "exhausted")


def test_a_resend_is_tried_again_like_any_delivery() -> None:
    topic, following = continued(settled(answered(500), trigger="resend:1"))
    assert (topic, following.trigger, following.attempt) == ("retry.1m", "resend:1", 2)


def test_a_discarded_delivery_is_final_and_was_not_attempted() -> None:
    record = discard(origin(attempt=2), "endpoint_disabled", ENDED_MS)
    assert (record.status, record.final, record.reason) == (
        "discarded",
        True,
        "endpoint_disabled",
    )
    assert (record.attempt, record.partition, record.offset) == (2, 4, 41)
    assert (record.url, record.status_code, record.error) == (None, None, None)
    assert decode_attempt(encode_attempt(record)) == record


def test_parking_counts_no_attempt() -> None:
    """The due time stays: it is part of the row's id in the log."""
    tier = TIERS.named("30s")
    parked = park(meta(attempt=2, parks=1), tier, ENDED_MS)
    assert isinstance(parked, FollowUp)
    assert parked.topic == "retry.30s"
    assert decode_meta(dict(parked.headers)[META_HEADER]) == meta(
        attempt=2, parks=2, not_before_ms=ENDED_MS + 30_000
    )
