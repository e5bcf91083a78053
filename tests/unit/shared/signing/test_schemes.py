"""Signatures: the published vectors, and what the receivers' own libraries make of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

import pytest
import standardwebhooks
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.profiles.profile import load_profiles
from shared.signing.schemes import HexSigner, StandardSigner, make_signer, standard_key
from shared.topics import DEFAULT_TIERS, Tiers

PROFILES = load_profiles(Tiers.parse(DEFAULT_TIERS))
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def headers_of(lines: bytes) -> dict[str, str]:
    assert lines.endswith(b"\r\n")
    pairs = (
        line.split(": ", 1) for line in lines.decode("ascii").removesuffix("\r\n").split("\r\n")
    )
    return dict(pairs)


def test_the_vector_of_standard_webhooks() -> None:
    """Published in the test suites of the receivers' libraries."""
    signer = make_signer(PROFILES["standard"], STANDARD_SECRET)
    lines = signer.lines(
        webhook_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp_s=1_614_265_330,
        body=b'{"test": 2432232314}',
    )
    assert lines == (
        b"webhook-timestamp: 1614265330\r\n"
        b"webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\r\n"
    )


@settings(max_examples=30)
@given(
    data=st.dictionaries(st.text(max_size=5), st.text(max_size=10), max_size=3),
    key=st.binary(min_size=24, max_size=64),
)
def test_the_receivers_library_verifies_what_we_sign(data: dict[str, str], key: bytes) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    body = json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")
    now_s = int(time.time())  # the library compares with its own clock
    lines = make_signer(PROFILES["standard"], secret).lines(
        webhook_id="evt_1", timestamp_s=now_s, body=body
    )
    headers = {"webhook-id": "evt_1", **headers_of(lines)}
    assert standardwebhooks.Webhook(secret).verify(body, headers) == json.loads(body)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret).verify(body + b" ", headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret).verify(body, headers | {"webhook-id": "evt_2"})


@pytest.mark.parametrize(
    ("profile", "name"), [("qr3", "X-QR3-Signature"), ("xqr", "X-XQR-Signature")]
)
def test_the_guides_sign_the_body_with_the_secrets_characters(profile: str, name: str) -> None:
    """Nothing but the body is signed, and a secret that looks like hex or base64 is not decoded."""
    secret, body = "whsec_00ff00ff00ff00ff-é", '{"id":"evt_1","name":"Café"}'.encode()
    signer = make_signer(PROFILES[profile], secret)
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    for webhook_id, timestamp_s in (("evt_1", 1), ("evt_2", 2)):
        lines = signer.lines(webhook_id=webhook_id, timestamp_s=timestamp_s, body=body)
        assert headers_of(lines) == {name: f"sha256={expected}"}


def test_the_vector_of_rfc_4231() -> None:
    """Test case 2 of the HMAC-SHA-256 vectors, through our signer."""
    signer = HexSigner(PROFILES["qr3"].signature, "Jefe")
    lines = signer.lines(webhook_id="", timestamp_s=0, body=b"what do ya want for nothing?")
    assert headers_of(lines)["X-QR3-Signature"] == (
        "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )


@pytest.mark.parametrize("size", [24, 25, 32, 64])
def test_a_standard_secret_holds_24_to_64_bytes(size: int) -> None:
    key = bytes(range(size))
    encoded = base64.b64encode(key).decode()
    assert standard_key("whsec_" + encoded, "whsec_") == key


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "AAAA",
        "A" * 30,  # 22 bytes and a rest
        "A" * 31,
        "A" * 42,  # lacks its padding: the receivers' libraries would not take it
        "A" * 100,
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2La aSw",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSé",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_",
    ],
)
def test_another_secret_is_refused_with_the_fix_and_without_the_secret(encoded: str) -> None:
    with pytest.raises(ValueError, match="'whsec_' and base64 of 24 to 64 bytes") as raised:
        StandardSigner(PROFILES["standard"].signature, "whsec_" + encoded)
    assert not encoded or encoded not in str(raised.value)


def test_a_signer_does_not_show_its_key() -> None:
    for name in ("qr3", "standard"):
        assert STANDARD_SECRET not in repr(make_signer(PROFILES[name], STANDARD_SECRET))
