"""Ports in memory: stores that can be away, a sink that keeps what it is given."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from services.gateway.auth import SCOPES, Caller
from services.gateway.delivery_settings import Limits
from services.gateway.idempotency import Once, Origin
from services.gateway.ports import Ports
from shared.kafka.publisher import Position, Record
from shared.models.audit import ALL_ENTRIES, Entry, EntryFilter
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
        self.used_ms: dict[str, int] = {}
        self.noted = 0
        self.away = False
        self.looked_up = 0

    async def add(self, key: ApiKey) -> None:
        self.known[key.digest] = key

    async def find(self, digest: str) -> ApiKey | None:
        self.looked_up += 1
        self._reached()
        opened = (
            key
            for first, key in self.known.items()
            if digest in (first, key.digest, *(old.digest for old in key.earlier))
        )
        return next(opened, None)

    async def of_workspace(self, workspace_id: str) -> list[ApiKey]:
        self._reached()
        found = [
            key
            for key in self.known.values()
            if key.workspace_id == workspace_id and key.revoked_ms is None
        ]
        return sorted(found, key=lambda key: key.id, reverse=True)

    async def replace(self, standing: ApiKey, key: ApiKey) -> ApiKey | None:
        self._reached()
        for first, known in self.known.items():
            if (known.id, known.revision) == (standing.id, standing.revision):
                revision = standing.revision + 1
                self.known[first] = msgspec.structs.replace(key, revision=revision)
                return self.known[first]
        return None

    async def used(self, times_ms: Mapping[str, int]) -> None:
        self.noted += 1
        self._reached()
        self.used_ms.update(times_ms)

    def _reached(self) -> None:
        if self.away:
            raise Outage("MongoDB does not answer")


class MemoryAudit:
    """Entries by id; ``away`` is an outage."""

    def __init__(self) -> None:
        self.known: dict[str, Entry] = {}
        self.away = False

    async def begin(self, entry: Entry) -> None:
        self._reached()
        self.known[entry.id] = entry

    async def settle(self, entry: Entry) -> None:
        self._reached()
        self.known[entry.id] = entry

    async def page(
        self,
        workspace_id: str,
        *,
        limit: int,
        before: str | None = None,
        chosen: EntryFilter = ALL_ENTRIES,
    ) -> list[Entry]:
        self._reached()
        found = [
            entry
            for entry in sorted(self.known.values(), key=lambda entry: entry.id, reverse=True)
            if entry.workspace_id == workspace_id
            and (before is None or entry.id < before)
            and chosen.action in (None, entry.action)
        ]
        return found[:limit]

    def _reached(self) -> None:
        if self.away:
            raise Outage("MongoDB does not answer")


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

    async def set_retention(self, workspace_id: str, days: int | None) -> Workspace | None:
        standing = await self.get(workspace_id)
        if standing is not None:
            self.known[workspace_id] = msgspec.structs.replace(standing, retention_days=days)
        return self.known.get(workspace_id)


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
        "audit": MemoryAudit(),
        "endpoints": None,
        "log": None,
        "search": None,
        "stats": None,
        "jobs": None,
        "counters": None,
        "deletions": None,
        "health": None,
        "claims": MemoryClaims(),
        "rejected": None,
        "erasures": None,
        "bodies": None,
        "job_bodies": None,
        "sink": MemorySink(),
        "profiles": PROFILES,
        "keyring": Keyring({"k1": bytes(32)}),
        "egress": EgressPolicy(),
        "limits": LIMITS,
        "retention_days": 30,
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
