"""The receiver's helper: accepts what we sign, during rotations too, and nothing else."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from shared.profiles.profile import load_profiles
from shared.receiver import Receiver
from shared.signing import asymmetric
from shared.signing.schemes import Earlier, make_signer
from shared.signing.verify import SIGNATURES_MAX, NotVerified, verify
from shared.topics import DEFAULT_TIERS, Tiers
from tests.unit.shared.signing.test_schemes import headers_of

PROFILES = load_profiles(Tiers.parse(DEFAULT_TIERS))
AT_S = 1_700_000_000
BODY = '{"name":"Café"}'.encode()
SECRETS = [f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in range(3)]
PRIVATE_KEY = asymmetric.new_private_key(bytes(32))
PUBLIC_KEY = asymmetric.public_key_of(PRIVATE_KEY)


def request(
    profile: str, secret: str, earlier: list[Earlier] | None = None, at_s: int = AT_S
) -> dict[str, str]:
    """Return the headers of a request with ``BODY``."""
    signer = make_signer(PROFILES[profile], secret, earlier or [])
    lines = signer.lines(webhook_id="evt_1", timestamp_s=at_s, body=BODY)
    return {PROFILES[profile].headers.event_id: "evt_1", **headers_of(lines)}


def check(profile: str, secrets: list[str], headers: dict[str, str], **given: Any) -> None:
    fields: dict[str, Any] = {"body": BODY, "now_s": AT_S, **given}
    verify(PROFILES[profile], secrets, headers, fields.pop("body"), **fields)


CASES = [
    ("qr3", SECRETS[0], SECRETS[0]),
    ("xqr", "0123456789abcdef", "0123456789abcdef"),
    ("standard", SECRETS[0], SECRETS[0]),
    ("standard", PRIVATE_KEY, PUBLIC_KEY),
]
every_scheme = pytest.mark.parametrize(("profile", "secret", "shown"), CASES)


@every_scheme
def test_what_we_sign_is_verified(profile: str, secret: str, shown: str) -> None:
    headers = request(profile, secret)

    check(profile, [shown], headers)
    check(profile, [SECRETS[1], shown], headers)
    check(profile, [shown], {name.upper(): value for name, value in headers.items()})


@every_scheme
def test_another_body_or_secret_is_not(profile: str, secret: str, shown: str) -> None:
    headers = request(profile, secret)

    with pytest.raises(NotVerified, match=PROFILES[profile].signature.header) as raised:
        check(profile, [shown], headers, body=BODY + b" ")
    assert shown not in str(raised.value)
    with pytest.raises(NotVerified, match="one of the 2 secrets"):
        check(profile, SECRETS[1:], headers)


@every_scheme
def test_every_altered_character_of_a_signature_is_noticed(
    profile: str, secret: str, shown: str
) -> None:
    headers = request(profile, secret)
    name = PROFILES[profile].signature.header
    signature = headers[name]
    unused_bits = {"v1a": 2, "v1,": 2}.get(signature[:3], 1)  # "==": base64 has spare bits there
    for at in range(len(signature) - unused_bits - 1):
        other = "B" if signature[at] == "A" else "A"
        altered = signature[:at] + other + signature[at + 1 :]
        with pytest.raises(NotVerified):
            check(profile, [shown], {**headers, name: altered})


@pytest.mark.parametrize("profile", ["qr3", "standard"])
def test_during_a_rotation_either_secret_verifies_and_afterwards_the_new_one(profile: str) -> None:
    new, old, foreign = SECRETS
    earlier = [Earlier(old, AT_S * 1000)]
    during = request(profile, new, earlier, at_s=AT_S - 1)
    afterwards = request(profile, new, earlier)

    check(profile, [new], during)
    check(profile, [old], during)
    check(profile, [new], afterwards)
    for headers, secret in ((during, foreign), (afterwards, old)):
        with pytest.raises(NotVerified):
            check(profile, [secret], headers)


@pytest.mark.parametrize(
    ("age_s", "words"), [(301, "301 seconds too old"), (-301, "301 seconds too new")]
)
def test_a_stale_request_of_standard_webhooks_is_refused(age_s: int, words: str) -> None:
    headers = request("standard", SECRETS[0])

    check("standard", SECRETS, headers, now_s=AT_S + age_s, tolerance_s=301)
    with pytest.raises(NotVerified, match=words):
        check("standard", SECRETS, headers, now_s=AT_S + age_s)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_what_is_missing_is_named(name: str) -> None:
    headers = request("standard", SECRETS[0])
    del headers[name]

    with pytest.raises(NotVerified, match=f"the header {name} is missing"):
        check("standard", SECRETS, headers)
    with pytest.raises(NotVerified, match="the header X-QR3-Signature is missing"):
        check("qr3", SECRETS, headers)


@pytest.mark.parametrize("timestamp", ["", "1.7e9", " 1700000000", "-1", "9" * 13, "٣"])
def test_a_timestamp_is_a_number_of_seconds(timestamp: str) -> None:
    headers = request("standard", SECRETS[0]) | {"webhook-timestamp": timestamp}

    with pytest.raises(NotVerified, match="no Unix time in seconds"):
        check("standard", SECRETS, headers)


@given(st.text(max_size=60), st.sampled_from(CASES))
def test_no_header_breaks_it(value: str, case: tuple[str, str, str]) -> None:
    profile, secret, shown = case
    headers = request(profile, secret)
    signature = PROFILES[profile].signature
    for name in (signature.header, signature.header_of_all):
        with pytest.raises(NotVerified):
            check(profile, [shown], {**headers, signature.header: "x", name: value})


def test_the_work_that_a_stranger_can_cause_is_bounded() -> None:
    headers = request("standard", SECRETS[0])
    many = " ".join(["v1,AAAA"] * SIGNATURES_MAX)

    with pytest.raises(NotVerified):
        check(
            "standard",
            SECRETS,
            {**headers, "webhook-signature": f"{many} {headers['webhook-signature']}"},
        )


def test_it_agrees_with_the_published_library() -> None:
    now_s = int(time.time())  # the library compares with its own clock
    for secret in SECRETS:
        headers = request("standard", SECRETS[0], [Earlier(SECRETS[1], (now_s + 9) * 1000)], now_s)
        ours = theirs = True
        try:
            check("standard", [secret], headers, now_s=now_s)
        except NotVerified:
            ours = False
        try:
            standardwebhooks.Webhook(secret).verify(BODY, headers)
        except standardwebhooks.WebhookVerificationError:
            theirs = False
        assert ours == theirs == (secret != SECRETS[2])


def test_secrets_that_cannot_be_any_are_a_fault_of_the_caller() -> None:
    headers = request("standard", SECRETS[0])
    for secrets, words in (
        ([], "secrets is empty"),
        (["my-secret-key-min-16-chars"], "'whsec_' and base64"),
        (["whpk_AAAA"], "'whpk_' and base64 of 32 bytes"),
    ):
        with pytest.raises(ValueError, match=words) as raised:
            check("standard", secrets, headers)
        assert not isinstance(raised.value, NotVerified)


def test_a_receiver_knows_its_product_and_the_time() -> None:
    receiver = Receiver("standard", [SECRETS[0]])

    receiver.verify(request("standard", SECRETS[0], at_s=int(time.time())), BODY)
    with pytest.raises(NotVerified, match="too old"):
        receiver.verify(request("standard", SECRETS[0]), BODY)
    with pytest.raises(ValueError, match="known: qr3, standard, xqr"):
        Receiver("qr4", SECRETS)
    with pytest.raises(TypeError, match="give a list"):
        Receiver("qr3", SECRETS[0])
