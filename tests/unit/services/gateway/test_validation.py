"""What an endpoint may be."""

import base64
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import validation
from services.gateway.errors import FieldError, InvalidFields
from services.gateway.schemas import CreateWebhook
from shared.policy.addresses import EgressPolicy
from shared.profiles.profile import Profile
from shared.signing.schemes import make_signer
from tests.unit.services.gateway.fakes import LIMITS, QR3, STANDARD, XQR

STRICT = EgressPolicy()
LOCAL = EgressPolicy(allow=(ipaddress.ip_network("127.0.0.0/8"),), require_https=False)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com/", "use https"),
        ("https://127.0.0.1/", "loopback"),
        ("https://[::1]/", "loopback"),
        ("https://169.254.169.254/latest", "metadata"),
        ("https://user:secret@example.com/", "credentials"),
        ("example.com", "absolute URL"),
        ("", "absolute URL"),
    ],
)
def test_a_url_that_no_webhook_may_go_to_is_refused(url: str, reason: str) -> None:
    assert reason in (validation.url_problem(url, STRICT) or "")


@pytest.mark.parametrize("url", ["https://example.com/hook?a=1", "https://93.184.216.34:8443/x"])
def test_a_public_url_is_taken(url: str) -> None:
    assert validation.url_problem(url, STRICT) is None


def test_development_may_allow_its_own_machine() -> None:
    assert validation.url_problem("http://127.0.0.1:9000/hook", LOCAL) is None


def test_event_types_are_known_names_aliases_or_the_star() -> None:
    assert list(validation.event_errors(["qr.scanned", "scan.created", "*"], QR3)) == []
    assert list(validation.event_errors(["link.created", "link.whatever"], XQR)) == []
    (error,) = validation.event_errors(["*", "qr.scaned"], QR3)
    assert error.field == "events[1]"
    assert "did you mean 'qr.scanned'" in error.detail


def test_a_pattern_subscribes_types_that_exist() -> None:
    assert list(validation.event_errors(["qr.*", "scan.*", "webhook.*"], QR3)) == []
    assert list(validation.event_errors(["order.*", "order.item.*"], XQR)) == []
    errors = list(validation.event_errors(["qrs.*", "*.created", "qr*", ".*", "q r.*"], QR3))
    assert [error.field for error in errors] == [f"events[{index}]" for index in range(5)]
    assert errors[0].detail == (
        "no event type is below 'qrs.*'; known: qr.*, scan.*, webhook.*, workspace.*"
    )
    assert "is not a pattern such as 'order.*'" in errors[3].detail


def test_channels_are_few_and_plain() -> None:
    assert list(validation.channel_errors(("eu", "v:1"))) == []
    assert [error.field for error in validation.channel_errors(("eu", "a b", "a,b"))] == [
        "channels[1]",
        "channels[2]",
    ]
    assert [error.field for error in validation.channel_errors(("a",) * 21)] == ["channels"]


def test_what_is_wrong_in_a_filter_is_named_by_its_path() -> None:
    (error,) = validation.data_filter_errors({"a": {"$or": [{"b": {"$gt": True}}]}})
    assert error.field == "filter.a.$or[0].b.$gt"
    assert error.detail == "must be a number or a text, not true"


def test_a_list_of_events_is_neither_empty_nor_endless() -> None:
    assert [error.field for error in validation.event_errors([], QR3)] == ["events"]
    assert [error.detail for error in validation.event_errors(["*"] * 101, QR3)] == [
        "has 101 items; 100 are allowed"
    ]


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("x" * 15, "has 15 characters; 16 to 128 are needed"),
        ("x" * 129, "has 129 characters"),
        ("sixteen-chars-\x00\x01", "do not print"),
    ],
)
def test_a_secret_has_16_to_128_printable_characters(secret: str, reason: str) -> None:
    assert reason in (validation.secret_problem(secret, QR3.signature) or "")
    assert validation.secret_problem("my-secret-key-min-16-chars", QR3.signature) is None
    assert validation.secret_problem("ключ-из-16-букв!", QR3.signature) is None


@pytest.mark.parametrize(
    "secret",
    [
        "my-secret-key-min-16-chars",
        "whsec_",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_not base64",
    ],
)
def test_a_secret_of_standard_webhooks_has_its_form(secret: str) -> None:
    assert "whsec_" in (validation.secret_problem(secret, STANDARD.signature) or "")


@pytest.mark.parametrize("profile", [QR3, XQR, STANDARD], ids=lambda profile: profile.name)
def test_a_generated_secret_is_valid_and_signs(profile: Profile) -> None:
    secret = validation.new_secret(profile.signature, bytes(range(32)))

    assert validation.secret_problem(secret, profile.signature) is None
    assert make_signer(profile, secret).lines(webhook_id="evt_1", timestamp_s=1, body=b"{}")


def test_every_wrong_field_is_reported_at_once() -> None:
    with pytest.raises(InvalidFields) as caught:
        validation.check(
            CreateWebhook(
                url="ftp://example.com",
                events=[],
                description="x" * 513,
                secret="short",
                concurrency=33,
                rate_limit=0.0,
            ),
            profile=QR3,
            policy=STRICT,
            limits=LIMITS,
        )

    assert [error.field for error in caught.value.errors] == [
        "url",
        "events",
        "description",
        "secret",
        "concurrency",
        "rate_limit",
    ]
    assert caught.value.errors[2] == FieldError(
        "description", "has 513 characters; 512 are allowed"
    )


@given(st.lists(st.sampled_from(["*", "a.b", "c.d", "e.f"])))
def test_repeats_are_dropped_and_the_order_stays(events: list[str]) -> None:
    kept = validation.without_repeats(events)

    assert set(kept) == set(events)
    assert len(set(kept)) == len(kept)
    assert list(kept) == sorted(kept, key=events.index)


def test_the_hint_is_the_guides() -> None:
    assert validation.hint_of("my-secret-key-min-16-chars") == "my-s…"
