"""Operations have the names that people would give them."""

import pytest

from services.gateway.openapi_names import is_plural, operation_name, singular


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("GET v1/webhooks", "list_webhooks"),
        ("POST v1/webhooks", "create_webhook"),
        ("GET v1/webhooks/{}", "get_webhook"),
        ("PATCH v1/webhooks/{}", "update_webhook"),
        ("PUT v1/webhooks/{}", "replace_webhook"),
        ("DELETE v1/webhooks/{}", "delete_webhook"),
        ("POST v1/webhooks/{}/pause", "pause_webhook"),
        ("GET v1/webhooks/{}/secret", "get_webhook_secret"),
        ("POST v1/webhooks/{}/secret/rotate", "rotate_webhook_secret"),
        ("GET v1/webhooks/{}/deliveries", "list_webhook_deliveries"),
        ("GET v1/webhooks/{}/deliveries/{}", "get_webhook_delivery"),
        ("POST v1/webhooks/{}/deliveries/{}/resend", "resend_webhook_delivery"),
        ("DELETE v1/events/{}/payload", "delete_event_payload"),
        ("PATCH v1/event-types/{}", "update_event_type"),
        ("POST v1/rejected-events/{}/resubmit", "resubmit_rejected_event"),
        ("GET v1/stats", "get_stats"),
        ("GET v1/webhooks/{}/stats", "get_webhook_stats"),
        ("GET api/v1/webhooks/{}", "xqr_get_webhook"),
        ("POST api/developer/webhooks/{}/test", "xqr_test_webhook"),
    ],
)
def test_a_call_has_the_name_of_what_it_does(call: str, name: str) -> None:
    method, path = call.split()

    parts = [None if part == "{}" else part for part in path.split("/")]

    assert operation_name(method, parts) == name


@pytest.mark.parametrize(
    ("many", "one"),
    [("webhooks", "webhook"), ("deliveries", "delivery"), ("event_types", "event_type")],
)
def test_one_of_many(many: str, one: str) -> None:
    assert singular(many) == one
    assert singular(one) == one


@pytest.mark.parametrize("word", ["access", "stats", "secret"])
def test_what_is_no_collection(word: str) -> None:
    assert not is_plural(word)
    assert singular(word) == word
