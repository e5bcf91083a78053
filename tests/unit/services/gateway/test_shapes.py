"""Answers: the guides' fields first, in the guides' order."""

import msgspec

from services.gateway.handlers.deliveries import Shown
from services.gateway.ports import BodyUnavailable
from services.gateway.routes.deliveries import delivery_of, detail_of, header_lines
from services.gateway.routes.endpoints import webhook_of
from services.gateway.schemas import DeliveryDetail
from shared.models.attempts import Attempt
from shared.models.management import Endpoint

ENDPOINT = Endpoint(
    id="wh_abc123",
    workspace_id="ws_a",
    profile="qr3",
    url="https://example.com/webhooks/qr3",
    events=("qr.scanned", "qr.created"),
    secret="k1:sealed",
    secret_hint="my-s…",
    created_ms=1_773_568_800_000,
    updated_ms=1_773_568_800_000,
)
ATTEMPT = Attempt(
    workspace_id="ws_a",
    endpoint_id="wh_abc123",
    event_id="evt_abc123xyz",
    event_type="qr.scanned",
    trigger="event",
    attempt=1,
    status="success",
    final=True,
    due_ms=1_773_568_800_000,
    started_ms=1_773_568_800_004,
    ended_ms=1_773_568_800_149,
    partition=0,
    offset=7,
    revision=1,
    epoch=1,
    url="https://example.com/webhooks/qr3",
    address="93.184.216.34",
    status_code=200,
    response_time_ms=145.4,
    request_headers="POST /webhooks/qr3 HTTP/1.1\r\nHost: example.com\r\nX-A: b: c\r\n\r\n",
    response_headers=(("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")),
    response_body=b"OK",
    timing_ms={"total": 145.4},
)


def test_a_created_webhook_is_the_guides_answer_to_the_letter() -> None:
    answer = msgspec.json.encode(webhook_of(ENDPOINT, secret="my-secret-key-min-16-chars"))

    assert answer.decode() == (
        '{"id":"wh_abc123","url":"https://example.com/webhooks/qr3",'
        '"events":["qr.scanned","qr.created"],"is_active":true,'
        '"secret":"my-secret-key-min-16-chars","secret_hint":"my-s…",'
        '"created_at":"2026-03-15T10:00:00.000Z"}'
    )


def test_a_webhook_otherwise_shows_no_secret() -> None:
    shown = msgspec.to_builtins(webhook_of(ENDPOINT, failures=0))

    assert list(shown) == [
        "id",
        "url",
        "events",
        "is_active",
        "secret_hint",
        "created_at",
        "consecutive_failures",
    ]
    assert "sealed" not in str(shown)


def test_a_disabled_webhook_says_why() -> None:
    disabled = msgspec.structs.replace(
        ENDPOINT,
        active=False,
        disabled_reason="10 failures in a row",
        updated_ms=ENDPOINT.created_ms + 1,
    )

    shown = msgspec.to_builtins(webhook_of(disabled))

    assert shown["is_active"] is False
    assert shown["disabled_reason"] == "10 failures in a row"
    assert shown["updated_at"] == "2026-03-15T10:00:00.001Z"


def test_a_paused_webhook_is_not_active_and_masks_its_headers() -> None:
    paused = msgspec.structs.replace(
        ENDPOINT,
        paused_ms=1_773_568_800_000,
        metadata={"team": "billing"},
        headers=(("X-Key", "k1:sealed"),),
    )

    shown = msgspec.to_builtins(webhook_of(paused))

    assert shown["is_active"] is False
    assert shown["paused_at"] == "2026-03-15T10:00:00.000Z"
    assert shown["metadata"] == {"team": "billing"}
    assert shown["headers"] == {"X-Key": "********"}


def test_a_delivery_begins_with_the_guides_fields() -> None:
    answer = msgspec.json.encode(delivery_of("whd_abc123", ATTEMPT)).decode()

    assert answer.startswith(
        '{"id":"whd_abc123","event_type":"qr.scanned","status":"success","status_code":200,'
        '"response_time_ms":145,"attempt":1,"created_at":"2026-03-15T10:00:00.000Z"'
    )
    assert answer.endswith(',"event_id":"evt_abc123xyz","trigger":"event"}')


def test_a_failed_delivery_says_what_follows() -> None:
    failed = msgspec.structs.replace(
        ATTEMPT,
        status="failed",
        final=False,
        status_code=None,
        response_time_ms=None,
        error="timeout",
        next_attempt_ms=1_773_568_860_000,
    )

    shown = msgspec.to_builtins(delivery_of("whd_1", failed))

    assert (shown["status_code"], shown["response_time_ms"]) == (None, None)
    assert (shown["error"], shown["next_attempt_at"]) == ("timeout", "2026-03-15T10:01:00.000Z")


def shown_of(attempt: Attempt, body: bytes | BodyUnavailable) -> DeliveryDetail:
    return detail_of(Shown(id="whd_1", attempt=attempt, body=body))


def test_a_detail_shows_request_and_response() -> None:
    shown = msgspec.to_builtins(shown_of(ATTEMPT, '{"a":"é"}'.encode()))

    assert shown["request"] == {
        "url": "https://example.com/webhooks/qr3",
        "address": "93.184.216.34",
        "headers": [("Host", "example.com"), ("X-A", "b: c")],
        "body": '{"a":"é"}',
        "body_encoding": "utf-8",
    }
    assert shown["response"] == {
        "status_code": 200,
        "headers": [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
        "body": "OK",
        "body_encoding": "utf-8",
        "body_truncated": False,
    }
    assert shown["timing_ms"] == {"total": 145.4}


def test_bytes_that_are_no_text_are_base64() -> None:
    binary = msgspec.structs.replace(ATTEMPT, response_body=b"\xff\x00")

    shown = shown_of(binary, b"\xfe")

    assert (shown.request.body, shown.request.body_encoding) == ("/g==", "base64")
    assert shown.response is not None
    assert (shown.response.body, shown.response.body_encoding) == ("/wA=", "base64")


def test_a_body_that_is_gone_says_so() -> None:
    shown = msgspec.to_builtins(shown_of(ATTEMPT, BodyUnavailable("retention is over")))

    assert shown["request"]["body"] is None
    assert shown["request"]["body_unavailable"] == "retention is over"


def test_without_a_response_there_is_none() -> None:
    refused = msgspec.structs.replace(ATTEMPT, status="failed", status_code=None, error="connect")

    assert msgspec.to_builtins(shown_of(refused, b""))["response"] is None


def test_header_lines_are_taken_apart() -> None:
    assert header_lines("") == []
    assert header_lines("Host: a\r\nX: \r\n") == [("Host", "a"), ("X", "")]
