"""Creating with an ``Idempotency-Key`` when the gateway has died: nobody makes a second one."""

from __future__ import annotations

import pytest

from services.gateway.handlers import endpoints
from services.gateway.idempotency import Origin
from services.gateway.schemas import CreateWebhook
from shared.models.claims import HELD_MS, claim_of, successor
from tests.unit.services.gateway.fakes import NOW_MS, QR3, STANDARD, caller, ports
from tests.unit.services.gateway.test_signing import MemoryEndpoints

WANTED = CreateWebhook(url="https://example.com/", events=["*"])
CLAIM = claim_of(
    workspace_id="ws_a", call="POST /v1/webhooks", key="k", request=b"", holder="a", now_ms=NOW_MS
)
FIRST, SECOND = (Origin(NOW_MS, lambda _: "", claim) for claim in (CLAIM, successor(CLAIM, CLAIM)))


@pytest.mark.parametrize("profile", [QR3, STANDARD])
async def test_what_was_created_before_is_found_with_its_secret(profile: object) -> None:
    given = ports(endpoints=MemoryEndpoints(), now_ms=lambda: NOW_MS + HELD_MS)

    made, secret = await endpoints.create(given, caller(profile), WANTED, FIRST)
    found, again = await endpoints.create(given, caller(profile), WANTED, SECOND)

    assert found == made
    assert again == secret is not None
    assert made.created_ms == NOW_MS


async def test_a_private_key_is_not_shown_again_either() -> None:
    given = ports(endpoints=MemoryEndpoints(), now_ms=lambda: NOW_MS)
    wanted = CreateWebhook(url="https://example.com/", events=["*"], signature="v1a")

    made, secret = await endpoints.create(given, caller(STANDARD), wanted, FIRST)
    found, again = await endpoints.create(given, caller(STANDARD), wanted, SECOND)

    assert (found, secret, again) == (made, None, None)


async def test_what_was_withdrawn_before_is_created_anew() -> None:
    """The first one's id is spent: its tombstone may come at any time."""
    store = MemoryEndpoints()
    given = ports(endpoints=store, now_ms=lambda: NOW_MS)

    made, _ = await endpoints.create(given, caller(), WANTED, FIRST)
    del store.known[made.id]
    anew, _ = await endpoints.create(given, caller(), WANTED, SECOND)

    assert anew.id != made.id
