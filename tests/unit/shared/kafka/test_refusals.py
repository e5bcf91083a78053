"""A refusal by Kafka is told as what it is, with the setting to look at, and not at every try."""

from __future__ import annotations

import ssl

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    NodeNotReadyError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)
from structlog.testing import capture_logs

from shared.kafka import refusals
from shared.seldom import REASONS_MAX, Seldom


@pytest.fixture(autouse=True)
def nothing_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "_seldom", Seldom(refusals.TELL_EVERY_S))


@pytest.mark.parametrize(
    ("error", "look_at"),
    [
        (SaslAuthenticationFailed("invalid credentials"), "HOOKLANE_KAFKA_PASSWORD"),
        (TopicAuthorizationFailedError("events"), "python -m shared.kafka.acls"),
        (GroupAuthorizationFailedError("hooklane-retry"), "python -m shared.kafka.acls"),
        (ssl.SSLCertVerificationError("self-signed certificate"), "HOOKLANE_KAFKA_CA_FILE"),
    ],
)
def test_a_refusal_says_what_to_look_at(error: Exception, look_at: str) -> None:
    with capture_logs() as logs:
        refusals.tell(error, broker="kafka:9092")
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("kafka_refuses", "error")
    assert line["error"] == repr(error)
    assert look_at in line["fix"]
    assert line["broker"] == "kafka:9092"


def test_what_was_raised_for_a_refusal_is_one() -> None:
    error = KafkaConnectionError("broken")
    error.__cause__ = ssl.SSLError("certificate required")
    assert refusals.fix_of(error) is not None


@pytest.mark.parametrize(
    "error", [KafkaConnectionError(), NodeNotReadyError(), OSError(), ssl.SSLEOFError("killed")]
)
def test_an_outage_is_none(error: Exception) -> None:
    with capture_logs() as logs:
        refusals.tell(error)
    assert logs == []


def test_the_same_refusal_is_told_once_in_a_while_and_another_at_once() -> None:
    with capture_logs() as logs:
        for _ in range(3):
            refusals.tell(TopicAuthorizationFailedError("events"))
        refusals.tell(TopicAuthorizationFailedError("attempts"))
    assert len(logs) == 2


def test_a_reason_is_due_again_later_and_few_are_remembered() -> None:
    seldom = Seldom(10.0)
    assert seldom.due("a", 5.0)
    assert not seldom.due("a", 14.9)
    assert seldom.due("a", 15.0)
    for number in range(3 * REASONS_MAX):
        assert seldom.due(str(number), 15.0)
    assert len(seldom._told_s) <= REASONS_MAX
