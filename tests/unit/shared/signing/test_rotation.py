"""Signatures after a rotation: which secrets sign when, and where a receiver finds its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

import pytest
import standardwebhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from shared.profiles.profile import load_profiles
from shared.signing import asymmetric
from shared.signing.schemes import Earlier, make_signer
from shared.topics import DEFAULT_TIERS, Tiers
from tests.unit.shared.signing.test_schemes import headers_of

PROFILES = load_profiles(Tiers.parse(DEFAULT_TIERS))
BODY = b'{"id":"evt_1"}'
NEW, OLD, OLDEST = "the-new-secret-of-it", "the-old-secret-of-it", "the-oldest-secret-of-it"
NEW_KEY, OLD_KEY = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))
PRIVATE_KEY = asymmetric.new_private_key(bytes(range(32)))
AT_S = 1_700_000_000


def hexed(secret: str) -> str:
    """Return the guide's signature of ``BODY``."""
    return "sha256=" + hmac.new(secret.encode(), BODY, hashlib.sha256).hexdigest()


def qr3_headers(earlier: list[Earlier], at_s: int) -> dict[str, str]:
    signer = make_signer(PROFILES["qr3"], NEW, earlier)
    return headers_of(signer.lines(webhook_id="evt_1", timestamp_s=at_s, body=BODY))


def standard_headers(secret: str, earlier: list[Earlier], at_s: int) -> dict[str, str]:
    signer = make_signer(PROFILES["standard"], secret, earlier)
    lines = signer.lines(webhook_id="evt_1", timestamp_s=at_s, body=BODY)
    return {"webhook-id": "evt_1", **headers_of(lines)}


def test_the_guides_header_is_signed_with_the_old_secret_until_the_overlap_is_over() -> None:
    """To the millisecond, as far as a header in seconds can tell."""
    earlier = [Earlier(OLD, AT_S * 1000)]

    assert qr3_headers(earlier, AT_S - 1) == {
        "X-QR3-Signature": hexed(OLD),
        "X-QR3-Signature-All": f"{hexed(NEW)}, {hexed(OLD)}",
    }
    assert qr3_headers(earlier, AT_S) == {"X-QR3-Signature": hexed(NEW)}


def test_of_several_old_secrets_the_oldest_signs_the_guides_header() -> None:
    earlier = [Earlier(OLD, (AT_S + 20) * 1000), Earlier(OLDEST, (AT_S + 10) * 1000)]

    first, then, last = (qr3_headers(earlier, AT_S + wait_s) for wait_s in (9, 10, 20))

    assert first["X-QR3-Signature"] == hexed(OLDEST)
    assert first["X-QR3-Signature-All"] == f"{hexed(NEW)}, {hexed(OLD)}, {hexed(OLDEST)}"
    assert then == {
        "X-QR3-Signature": hexed(OLD),
        "X-QR3-Signature-All": f"{hexed(NEW)}, {hexed(OLD)}",
    }
    assert last == {"X-QR3-Signature": hexed(NEW)}


def test_standard_webhooks_lists_both_signatures_newest_first() -> None:
    now_s = int(time.time())  # the library compares with its own clock
    earlier = [Earlier(OLD_KEY, (now_s + 10) * 1000)]
    both = standard_headers(NEW_KEY, earlier, now_s)
    new_alone = standard_headers(NEW_KEY, [], now_s)
    old_alone = standard_headers(OLD_KEY, [], now_s)

    expected = f"{new_alone['webhook-signature']} {old_alone['webhook-signature']}"
    assert both["webhook-signature"] == expected
    for secret in (NEW_KEY, OLD_KEY):
        assert standardwebhooks.Webhook(secret).verify(BODY, both) == {"id": "evt_1"}


def test_what_is_over_does_not_sign_any_more() -> None:
    now_s = int(time.time())
    headers = standard_headers(NEW_KEY, [Earlier(OLD_KEY, now_s * 1000)], now_s)

    assert standardwebhooks.Webhook(NEW_KEY).verify(BODY, headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(OLD_KEY).verify(BODY, headers)


def test_a_private_key_signs_as_v1a_over_id_time_and_body() -> None:
    headers = standard_headers(PRIVATE_KEY, [], AT_S)

    version, _, signature = headers["webhook-signature"].partition(",")
    public_key = asymmetric.public_key_of(PRIVATE_KEY).removeprefix("whpk_")
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key))
    key.verify(base64.b64decode(signature), f"evt_1.{AT_S}.".encode() + BODY)
    assert version == "v1a"


def test_receivers_change_over_to_v1a_without_refusing_anything() -> None:
    """A library that knows only ``v1`` passes over the other signature."""
    now_s = int(time.time())
    headers = standard_headers(PRIVATE_KEY, [Earlier(OLD_KEY, (now_s + 10) * 1000)], now_s)

    versions = [part.partition(",")[0] for part in headers["webhook-signature"].split(" ")]
    assert versions == ["v1a", "v1"]
    assert standardwebhooks.Webhook(OLD_KEY).verify(BODY, headers)


@given(st.lists(st.integers(-3, 3), max_size=5), st.sampled_from(["qr3", "standard"]))
def test_there_is_one_signature_for_each_secret_that_is_not_over(
    ends_s: list[int], profile: str
) -> None:
    """The newest never ends, so there is always one; and the order is that of age."""
    secrets = [f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in range(9)]
    earlier = [
        Earlier(secret, (AT_S + end_s) * 1000)
        for secret, end_s in zip(secrets[1:], sorted(ends_s, reverse=True), strict=False)
    ]

    def signed(secret: str, replaced: list[Earlier]) -> list[str]:
        signer = make_signer(PROFILES[profile], secret, replaced)
        headers = headers_of(signer.lines(webhook_id="e", timestamp_s=AT_S, body=BODY))
        listed = headers.get("X-QR3-Signature-All") or headers.get("X-QR3-Signature")
        return listed.split(", ") if listed else headers["webhook-signature"].split(" ")

    signing = [secrets[0], *(old.secret for old in earlier if old.until_ms > AT_S * 1000)]
    assert signed(secrets[0], earlier) == [signed(secret, [])[0] for secret in signing]
