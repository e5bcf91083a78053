"""Ports in memory: stores that can be away, a sink that keeps what it is given."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from services.gateway.auth import SCOPES, Caller
from services.gateway.delivery_settings import Limits
from services.gateway.idempotency import Once, Origin
from services.gateway.ports import Ports
from shared.kafka.publisher import Position, Record
from shared.models.claims import Answer, Claim
from shared.models.errors import Outage
from shared.models.management import ApiKey, Workspace
from shared.policy.addresses import EgressPolicy
from shared.profiles.profile import load_profiles
from shared.signing.keyring import Keyring
from shared.topics import DEFAULT_TIERS, Tiers

PROFILES = load_profiles(Tiers.parse(DEFAULT_TIERS))
QR3 = PROFILES["qr3"]
XQR = PROFILES["xqr"]
STANDARD = PROFILES["standard"]
LIMITS = Limits(concurrency_max=32, tiers=Tiers.parse(DEFAULT_TIERS))
NOW_MS = 1_800_000_000_123


class Clock:
    """Milliseconds that move when told to."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


class MemoryKeys:
    """API keys by digest; ``looked_up`` counts, ``away`` is an outage."""

    def __init__(self) -> None:
        self.known: dict[str, ApiKey] = {}
        self.away = False
        self.looked_up = 0

    async def add(self, key: ApiKey) -> None:
        self.known[key.digest] = key

    async def find(self, digest: str) -> ApiKey | None:
        self.looked_up += 1
        if self.away:
            raise Outage("MongoDB does not answer")
        return self.known.get(digest)

    async def revoke(self, workspace_id: str, hint: str) -> int:
        chosen = [
            digest
            for digest, key in self.known.items()
            if (key.workspace_id, key.hint) == (workspace_id, hint)
        ]
        for digest in chosen:
            del self.known[digest]
        return len(chosen)


class MemoryWorkspaces:
    """Workspaces by id; ``away`` is an outage."""

    def __init__(self) -> None:
        self.known: dict[str, Workspace] = {}
        self.away = False

    async def create(self, workspace: Workspace) -> Workspace:
        self.known[workspace.id] = workspace
        return workspace

    async def get(self, workspace_id: str) -> Workspace | None:
        if self.away:
            raise Outage("MongoDB does not answer")
        return self.known.get(workspace_id)

    async def whole(self, workspace_id: str) -> Workspace | None:
        return await self.get(workspace_id)

    async def set_types(self, workspace: Workspace) -> Workspace | None:
        standing = await self.get(workspace.id)
        if standing is None or standing.revision != workspace.revision:
            return None
        changed = msgspec.structs.replace(workspace, revision=workspace.revision + 1)
        self.known[workspace.id] = changed
        return changed


class MemoryClaims:
    """Claims by id; ``away`` is an outage."""

    def __init__(self) -> None:
        self.known: dict[str, Claim] = {}
        self.away = False
        self.asked = 0

    async def add(self, claim: Claim) -> bool:
        await self._reached()
        if claim.id in self.known:
            return False
        self.known[claim.id] = claim
        return True

    async def get(self, claim_id: str) -> Claim | None:
        await self._reached()
        return self.known.get(claim_id)

    async def replace(self, standing: Claim, claim: Claim) -> bool:
        return await self._changed(standing, claim)

    async def settle(self, claim: Claim, answer: Answer) -> None:
        await self._changed(claim, msgspec.structs.replace(claim, answer=answer))

    async def abandon(self, claim: Claim) -> None:
        await self._changed(claim, msgspec.structs.replace(claim, held_until_ms=0))

    async def release(self, claim: Claim) -> None:
        await self._changed(claim, None)

    async def _changed(self, held: Claim, changed: Claim | None) -> bool:
        await self._reached()
        standing = self.known.get(held.id)
        if standing is None or standing.holder != held.holder:
            return False
        if changed is None:
            del self.known[held.id]
        else:
            self.known[held.id] = changed
        return True

    async def _reached(self) -> None:
        self.asked += 1
        if self.away:
            raise Outage("MongoDB does not answer")


class MemorySink:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def publish_within(self, records: Sequence[Record], timeout_ms: int) -> list[Position]:
        assert timeout_ms > 0
        self.records.extend(records)
        return [Position(0, 0) for _ in records]


def ports(**given: Any) -> Ports:
    """Return ports with what is ``given``; what no test here uses is None."""
    base: dict[str, Any] = {
        "workspaces": MemoryWorkspaces(),
        "api_keys": MemoryKeys(),
        "endpoints": None,
        "log": None,
        "search": None,
        "jobs": None,
        "counters": None,
        "deletions": None,
        "deletion_kinds": (),
        "health": None,
        "claims": MemoryClaims(),
        "rejected": None,
        "bodies": None,
        "sink": MemorySink(),
        "profiles": PROFILES,
        "keyring": Keyring({"k1": bytes(32)}),
        "egress": EgressPolicy(),
        "limits": LIMITS,
        "events_topic": "events",
        "deliveries_topic": "deliveries",
        "now_ms": Clock(),
        "entropy": random.Random(1).randbytes,
    }
    return Ports(**{**base, **given})


def origin(given: Ports) -> Origin:
    """Return the origin of a call without a key."""
    return Once(
        given.claims, keyring=given.keyring, now_ms=given.now_ms, entropy=given.entropy
    ).origin()


def caller(profile: Any = QR3) -> Caller:
    """Return a caller who may do everything in ``ws_a``."""
    return Caller(
        workspace_id="ws_a", profile=profile, scopes=frozenset(SCOPES), credential="api_key"
    )
