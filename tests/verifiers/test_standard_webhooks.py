"""The published libraries accept what Hooklane delivers, and refuse what it did not.

Python, JavaScript, Go and Rust; the requests are those that a receiver got, byte for byte.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
import pytest

from shared.profiles.profile import load_profiles
from shared.receiver import NotVerified, Receiver
from shared.signing.schemes import make_signer
from shared.topics import DEFAULT_TIERS, Tiers
from tests.support.receivers import Received
from tests.verifiers.conftest import FOREIGN, NEW, OLD, Delivered
from tests.verifiers.kit import ACCEPTED, KNOW_ED25519, VERIFIERS, case_of, verdicts

pytestmark = pytest.mark.asyncio(loop_scope="session")

REFUSED: Final = "refused: "
NO_MATCH: Final = ("no matching signature", "signature invalid", "no signature in")
MISSING: Final = ("missing", "header")
TOO_OLD: Final = ("too old",)
TOO_NEW: Final = ("too new", "too far in future")


class Expected(NamedTuple):
    """A case and what is to become of it: accepted, or refused for one of these ``reasons``."""

    name: str
    case: Mapping[str, Any]
    reasons: tuple[str, ...] = ()

    def is_met(self, verdict: str) -> bool:
        if not self.reasons:
            return verdict == ACCEPTED
        said = verdict.removeprefix(REFUSED).lower()
        return verdict.startswith(REFUSED) and any(reason in said for reason in self.reasons)


def with_header(request: Received, name: str, value: str | None) -> Received:
    """Return the request with another value of a header, or without it."""
    others = {known: given for known, given in request.headers.items() if known != name}
    return msgspec.structs.replace(
        request, headers=others if value is None else {**others, name: value}
    )


def signed_at(request: Received, at_s: int) -> Received:
    """Return the request as it would have been sent at another time, by our own signer."""
    signer = make_signer(load_profiles(Tiers.parse(DEFAULT_TIERS))["standard"], NEW)
    block = signer.lines(webhook_id=request.event_id, timestamp_s=at_s, body=request.body)
    lines = block.decode().removesuffix("\r\n").split("\r\n")
    for name, value in (line.split(": ", 1) for line in lines):
        request = with_header(request, name, value)
    return request


def altered(request: Received) -> dict[str, tuple[Received, tuple[str, ...]]]:
    """Return a good request, altered in every way, with the reasons for which it is refused."""
    now_s = int(time.time())
    body, signature = request.body, request.signature
    swapped = signature.replace("v1,", "v1,B" if signature[3] != "B" else "v1,C")[:-1]
    return {
        "a byte of the body": (
            msgspec.structs.replace(request, body=body.replace(b"1.50", b"1.51")),
            NO_MATCH,
        ),
        "a byte more": (msgspec.structs.replace(request, body=body + b" "), NO_MATCH),
        "another id": (with_header(request, "webhook-id", "evt_other"), NO_MATCH),
        "another time": (with_header(request, "webhook-timestamp", str(now_s + 5)), NO_MATCH),
        "another signature": (with_header(request, "webhook-signature", swapped), NO_MATCH),
        "another version": (
            with_header(request, "webhook-signature", signature.replace("v1,", "v2,")),
            NO_MATCH,
        ),
        "no id": (with_header(request, "webhook-id", None), MISSING),
        "no time": (with_header(request, "webhook-timestamp", None), MISSING),
        "no signature": (with_header(request, "webhook-signature", None), MISSING),
        "six minutes old": (signed_at(request, now_s - 360), TOO_OLD),
        "six minutes ahead": (signed_at(request, now_s + 360), TOO_NEW),
    }


def by_secret(delivered: Delivered) -> list[Expected]:
    """Return what each holder of a secret is to make of each request."""
    holders = {"old": OLD, "new": NEW, "foreign": FOREIGN}
    signers = {"ping": "old", "during": "old new", "ended": "new", "both": "new", "v1a": ""}
    found = [
        Expected(
            f"{request} with the {holder} secret",
            case_of(getattr(delivered, request), secret=secret),
            () if holder in signing.split() else NO_MATCH,
        )
        for request, signing in signers.items()
        for holder, secret in holders.items()
    ]
    recent = signed_at(delivered.ended, int(time.time()) - 240)
    found.append(Expected("four minutes old", case_of(recent, secret=NEW)))
    return found + [
        Expected(name, case_of(request, secret=NEW), reasons)
        for name, (request, reasons) in altered(delivered.ended).items()
    ]


def by_key(delivered: Delivered) -> list[Expected]:
    """Return what each holder of public keys is to make of each request."""
    ours, foreign = delivered.keys, delivered.foreign_keys
    tampered = msgspec.structs.replace(delivered.v1a, body=delivered.v1a.body + b" ")
    stale = with_header(delivered.v1a, "webhook-timestamp", str(int(time.time()) - 360))
    return [
        Expected("v1a", case_of(delivered.v1a, jwks=ours)),
        Expected("v1a and v1", case_of(delivered.both, jwks=ours)),
        Expected("another webhook's keys", case_of(delivered.v1a, jwks=foreign), NO_MATCH),
        Expected("no v1a signature", case_of(delivered.ended, jwks=ours), NO_MATCH),
        Expected("a byte more", case_of(tampered, jwks=ours), NO_MATCH),
        Expected("six minutes old", case_of(stale, jwks=ours), TOO_OLD),
    ]


def unmet(expected: list[Expected], found: list[str]) -> dict[str, str]:
    pairs = zip(expected, found, strict=True)
    return {one.name: verdict for one, verdict in pairs if not one.is_met(verdict)}


@pytest.mark.parametrize("language", VERIFIERS)
async def test_the_published_library_accepts_and_refuses(
    language: str, delivered: Delivered
) -> None:
    expected = by_secret(delivered)
    found = verdicts(VERIFIERS[language], [one.case for one in expected])

    assert unmet(expected, found) == {}
    assert found.count(ACCEPTED) == 6


@pytest.mark.parametrize("language", KNOW_ED25519)
async def test_other_implementations_of_ed25519_accept_v1a_by_the_key_set(
    language: str, delivered: Delivered
) -> None:
    expected = by_key(delivered)

    found = verdicts(VERIFIERS[language], [one.case for one in expected])

    assert unmet(expected, found) == {}


async def test_the_helper_for_python_gives_the_same_verdicts(delivered: Delivered) -> None:
    expected = by_secret(delivered)

    def verdict(case: Mapping[str, Any]) -> str:
        receiver = Receiver("standard", [case["secret"]])
        try:
            receiver.verify(case["headers"], base64.b64decode(case["body"]))
        except NotVerified as error:
            return f"{REFUSED}{error}"
        return ACCEPTED

    assert unmet(expected, [verdict(one.case) for one in expected]) == {}
