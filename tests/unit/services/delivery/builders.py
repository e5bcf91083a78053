"""Records for the delivery worker's tests; what a test does not care about is filled in."""

from __future__ import annotations

from typing import Any

from services.delivery.destination import Destinations
from shared.http.messages import Answered, FailureKind, Timing, Unanswered
from shared.models.attempts import Attempt, Finished
from shared.models.deliveries import DeliveryMeta
from shared.models.endpoints import EndpointState
from shared.policy.addresses import EgressPolicy
from shared.profiles.profile import load_profiles
from shared.signing.keyring import KEY_BYTES, NONCE_BYTES, Keyring
from shared.topics import DEFAULT_TIERS, Tiers

TIERS = Tiers.parse(DEFAULT_TIERS)
PROFILES = load_profiles(TIERS)
ACCEPTED_MS = 1_773_568_800_000


def meta(event_id: str = "evt_1", **given: Any) -> DeliveryMeta:
    fields: dict[str, Any] = {
        "event_type": "qr.scanned",
        "workspace_id": "ws_1",
        "attempt": 1,
        "trigger": "event",
        "revision": 1,
        "accepted_ms": ACCEPTED_MS,
        "due_ms": ACCEPTED_MS,
    }
    return DeliveryMeta(event_id=event_id, **fields | given)


def attempt(event_id: str = "evt_1", **given: Any) -> Attempt:
    fields: dict[str, Any] = {
        "workspace_id": "ws_1",
        "endpoint_id": "wh_1",
        "event_type": "qr.scanned",
        "trigger": "event",
        "attempt": 1,
        "status": "success",
        "final": True,
        "due_ms": ACCEPTED_MS,
        "started_ms": ACCEPTED_MS,
        "partition": 0,
        "offset": 0,
        "revision": 1,
        "epoch": 1,
    }
    return Attempt(event_id=event_id, **fields | given)


def finished(event_id: str = "evt_1", **given: Any) -> Finished:
    fields: dict[str, Any] = {
        "endpoint_id": "wh_1",
        "trigger": "event",
        "attempt": 1,
        "final": True,
        "offset": 0,
    }
    return Finished(event_id=event_id, **fields | given)


def endpoint(identifier: str = "wh_1", **given: Any) -> EndpointState:
    fields: dict[str, Any] = {
        "workspace_id": "ws_1",
        "profile": "qr3",
        "url": "https://receiver.example/hook",
        "events": ("*",),
        "secret": sealed(identifier),
    }
    return EndpointState(id=identifier, **fields | given)


KEYRING = Keyring({"k": bytes(KEY_BYTES)})
SECRET = "qr3_secret_of_the_endpoint"
DESTINATIONS = Destinations(
    profiles=PROFILES,
    tiers=TIERS,
    keyring=KEYRING,
    egress=EgressPolicy(),
)


def sealed(identifier: str = "wh_1", secret: str = SECRET) -> str:
    return KEYRING.seal(secret, identifier, bytes(NONCE_BYTES))


def timing(total_ms: float = 12.34, first_byte_ms: float = 11.0) -> Timing:
    return Timing(0.0, 0.0, 0.0, first_byte_ms, total_ms, True)


def answered(status: int = 200, **given: Any) -> Answered:
    fields: dict[str, Any] = {
        "headers": (),
        "body": b"",
        "body_truncated": False,
        "timing": timing(),
        "address": "192.0.2.1",
    }
    return Answered(status=status, **fields | given)


def unanswered(kind: FailureKind = "connect", **given: Any) -> Unanswered:
    fields: dict[str, Any] = {"message": "in words", "timing": timing(), "address": None}
    return Unanswered(kind=kind, **fields | given)
