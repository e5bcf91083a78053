"""What the gateway's handlers need of the world, each as small as they use it.

Every call may raise ``Outage``. The MongoDB adapters (``shared.storage.mongo``), the publisher
(``shared.kafka``) and ``services.gateway.bodies`` fit these without knowing them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from services.gateway.delivery_settings import Limits
from shared.kafka.publisher import Position, Record
from shared.models.attempts import Attempt
from shared.models.audit import ALL_ENTRIES, Entry, EntryFilter
from shared.models.claims import Answer, Claim
from shared.models.deletions import Deletion
from shared.models.deliveries import DeliveryMeta
from shared.models.erasures import Erasure
from shared.models.errors import HooklaneError
from shared.models.jobs import Job, JobState, Resend, Wish
from shared.models.management import (
    ALL_ENDPOINTS,
    ApiKey,
    Endpoint,
    EndpointFilter,
    Workspace,
)
from shared.models.rejected import Rejected
from shared.models.searches import Asked
from shared.models.stats import Cells, Reading
from shared.models.times import iso_ms
from shared.observe.traces import OFF, Tracer
from shared.policy.addresses import EgressPolicy
from shared.profiles.profile import Profile
from shared.signing.keyring import Keyring


class Workspaces(Protocol):
    """Tenants."""

    async def create(self, workspace: Workspace) -> Workspace:
        """Store and publish a new workspace."""

    async def get(self, workspace_id: str) -> Workspace | None:
        """Return a workspace, its event types by name only."""

    async def whole(self, workspace_id: str) -> Workspace | None:
        """Return a workspace with all that its event types say."""

    async def set_types(self, workspace: Workspace) -> Workspace | None:
        """Store its event types if the stored one still has its revision, else return None."""

    async def set_retention(self, workspace_id: str, days: int | None) -> Workspace | None:
        """Store how long its log is kept, None for as long as the deployment does."""

    async def page(self, *, limit: int, before: str | None = None) -> list[Workspace]:
        """Return up to ``limit`` workspaces, by id from the highest, below the id ``before``."""

    async def replace(self, workspace: Workspace) -> Workspace | None:
        """Store what the operator decides if the stored one has its revision, else return None."""

    async def delete(self, workspace_id: str) -> None:
        """Delete a workspace, or go on with that."""


class Counters(Protocol):
    """What workspaces have used of their limits."""

    async def take(
        self, workspace_id: str, limit: str, *, start_ms: int, end_ms: int, units: int, quota: int
    ) -> int:
        """Count ``units`` more in a window; returns the count with all of them."""

    async def give_back(self, workspace_id: str, limit: str, *, start_ms: int, units: int) -> None:
        """Count ``units`` less."""


class Deletions(Protocol):
    """Deletions of workspaces, and of what belongs to one, which is of some ``kinds``."""

    @property
    def kinds(self) -> Collection[str]:
        """Return what ``purge`` deletes."""

    async def add(self, deletion: Deletion) -> Deletion:
        """Store a new one; returns the one that stands, which may be from before."""

    async def get(self, workspace_id: str) -> Deletion | None:
        """Return the deletion of a workspace."""

    async def claim(self, holder: str, now_ms: int) -> Deletion | None:
        """Return one that is to be worked at, held by ``holder`` from now on."""

    async def save(self, deletion: Deletion) -> bool:
        """Store how far it is; returns False when its holder was overtaken."""

    async def purge(self, kind: str, workspace_id: str) -> int:
        """Delete some things of a kind; returns how many, 0 when none is left."""

    async def purge_health(self, endpoint_ids: Collection[str]) -> None:
        """Delete what is counted of these endpoints."""


class ApiKeys(Protocol):
    """API keys by the SHA-256 of the key."""

    async def add(self, key: ApiKey) -> None:
        """Store a key."""

    async def find(self, digest: str) -> ApiKey | None:
        """Return the key that this digest opens, or has opened."""

    async def of_workspace(self, workspace_id: str) -> list[ApiKey]:
        """Return the keys of a workspace that were not revoked, newest first."""

    async def replace(self, standing: ApiKey, key: ApiKey) -> ApiKey | None:
        """Put ``key`` in the place of ``standing``; returns None when that has moved on."""

    async def used(self, times_ms: Mapping[str, int]) -> None:
        """Note when keys were last used, by digest."""


class AuditLog(Protocol):
    """Entries of the audit log."""

    async def begin(self, entry: Entry) -> None:
        """Store an entry whose outcome is not known yet."""

    async def settle(self, entry: Entry) -> None:
        """Store how it came out, unless that was stored before."""

    async def page(
        self,
        workspace_id: str,
        *,
        limit: int,
        before: str | None = None,
        chosen: EntryFilter = ALL_ENTRIES,
    ) -> list[Entry]:
        """Return up to ``limit`` entries, newest first, older than the id ``before``."""


class Endpoints(Protocol):
    """Endpoints; a call that changes one returns when its new state is published."""

    async def create(self, endpoint: Endpoint) -> Endpoint:
        """Store and publish a new endpoint."""

    async def get(self, workspace_id: str, endpoint_id: str) -> Endpoint | None:
        """Return an endpoint of this workspace."""

    async def find(self, endpoint_id: str) -> Endpoint | None:
        """Return an endpoint of whatever workspace: only for what everybody may see of it."""

    async def page(
        self,
        workspace_id: str,
        *,
        limit: int,
        before: str | None = None,
        chosen: EndpointFilter = ALL_ENDPOINTS,
    ) -> list[Endpoint]:
        """Return up to ``limit`` endpoints, newest first, older than ``before``."""

    async def count(self, workspace_id: str) -> int:
        """Return how many endpoints a workspace has."""

    async def replace(self, endpoint: Endpoint) -> Endpoint | None:
        """Store ``endpoint`` if the stored one still has its revision, else return None."""

    async def delete(
        self, workspace_id: str, endpoint_id: str, *, revision: int | None = None
    ) -> bool:
        """Delete an endpoint, of this revision if one is given; returns whether there was one."""


class Row(Protocol):
    """A row of the delivery log."""

    @property
    def id(self) -> str:
        """Return its id, ``whd_…``."""

    @property
    def attempt(self) -> Attempt:
        """Return the attempt that it is about."""


class RowPage(Protocol):
    """A page of the delivery log; ``next`` is the ``before`` of the page after it."""

    @property
    def rows(self) -> Sequence[Row]:
        """Return the rows, newest first."""

    @property
    def next(self) -> str | None:
        """Return where the next page begins, None on the last page."""


class DeliveryLog(Protocol):
    """The log of attempts."""

    async def page(self, endpoint_id: str, asked: Asked) -> RowPage:
        """Return one page, newest first."""

    async def get(self, endpoint_id: str, delivery_id: str) -> Row | None:
        """Return one row."""


class FoundRows(Protocol):
    """An event's first attempts; nothing was looked at from ``searched_ms`` on."""

    @property
    def rows(self) -> Sequence[Row]:
        """Return the rows."""

    @property
    def searched_ms(self) -> int:
        """Return where the search has ended."""


class LogSearch(Protocol):
    """The log of a whole workspace."""

    async def page(self, workspace_id: str, asked: Asked) -> RowPage:
        """Return one page, newest first."""

    async def of_event(
        self, workspace_id: str, event_id: str, *, since_ms: int, until_ms: int
    ) -> FoundRows:
        """Return the first attempts of an event that were due in this time, by endpoint."""

    async def get(self, workspace_id: str, delivery_id: str) -> Row | None:
        """Return one row."""

    async def known(self, workspace_id: str, delivery_ids: Iterable[str]) -> Collection[str]:
        """Return which of these rows there are."""

    async def following(self, workspace_id: str, attempts: Iterable[Attempt]) -> Sequence[Row]:
        """Return the later attempts of the deliveries to which these belong."""

    async def resent(self, workspace_id: str, resends: Iterable[Resend]) -> Sequence[Row]:
        """Return all attempts of what was sent again."""


class Stats(Protocol):
    """Statistics; a series is a workspace's id or an endpoint's."""

    async def read(self, series: Collection[str], reading: Reading) -> Mapping[str, Cells]:
        """Return the cells of each series that are asked for."""


class Health(Protocol):
    """Consecutive failures of endpoints."""

    async def failures(self, endpoint_id: str, epoch: int) -> int:
        """Return how many attempts in a row have failed in this epoch."""


class Claims(Protocol):
    """Idempotency keys in use; a claim is changed by its holder only."""

    async def add(self, claim: Claim) -> bool:
        """Store a claim of a key that nobody has claimed; returns whether that was so."""

    async def get(self, claim_id: str) -> Claim | None:
        """Return the claim that stands."""

    async def replace(self, standing: Claim, claim: Claim) -> bool:
        """Put ``claim`` in the place of ``standing``; returns False when that has moved on."""

    async def settle(self, claim: Claim, answer: Answer) -> None:
        """Keep the answer."""

    async def abandon(self, claim: Claim) -> None:
        """Let the next request with the same key and body go on at once."""

    async def release(self, claim: Claim) -> None:
        """Give the key back."""


class Jobs(Protocol):
    """Jobs on the log, and notes of what they have sent again."""

    async def add(self, job: Job) -> None:
        """Store a new job; one with this id that is there already stays as it is."""

    async def get(self, workspace_id: str, job_id: str) -> Job | None:
        """Return a job of this workspace."""

    async def page(
        self,
        workspace_id: str,
        *,
        limit: int,
        before: str | None = None,
        state: JobState | None = None,
    ) -> list[Job]:
        """Return up to ``limit`` jobs of a workspace, newest first, older than ``before``."""

    async def open_replays(self, workspace_id: str) -> int:
        """Return how many replays of a workspace have not ended."""

    async def claim(self, holder: str, now_ms: int) -> Job | None:
        """Return a job that nobody works at, held by ``holder`` from now on."""

    async def hold(self, job: Job, until_ms: int) -> Job | None:
        """Hold a job for longer; returns it as it stands, None when its holder was overtaken."""

    async def save(self, job: Job) -> Job | None:
        """Store what a step has done; returns what is stored, None when overtaken."""

    async def wish(self, job: Job, wish: Wish) -> Job | None:
        """Have a job paused, resumed or cancelled; None when its state does not allow that."""

    async def note(self, resends: Sequence[Resend]) -> Sequence[Resend]:
        """Note what is to be sent again; returns the note that stands for each, in order."""

    async def forget(self, resend: Resend) -> None:
        """Forget a note of what was not sent after all."""

    async def of_event(self, workspace_id: str, event_id: str) -> Sequence[Resend]:
        """Return the notes about an event's deliveries."""

    async def unnote(self, job: Job) -> None:
        """Forget the notes of what a job may not have sent: of all behind its place."""


class Erasures(Protocol):
    """Events whose payload was erased."""

    async def erase(self, erasure: Erasure, seconds: Iterable[int]) -> Erasure:
        """Mark an event and take it out of the log's rows of these seconds."""

    async def get(self, workspace_id: str, event_id: str) -> Erasure | None:
        """Return the mark of an event, None where it is not erased."""

    async def among(self, events: Collection[tuple[str, str]]) -> list[Erasure]:
        """Return the marks of those of these events (workspace, event) that have one."""


class RejectedEvents(Protocol):
    """Copies of rejected events."""

    async def page(
        self, workspace_id: str, *, limit: int, before: str | None = None
    ) -> list[Rejected]:
        """Return up to ``limit`` open ones, newest first, older than ``before``."""

    async def get(self, workspace_id: str, rejected_id: str) -> Rejected | None:
        """Return one that was not discarded."""

    async def resubmitted(self, rejected: Rejected, event_id: str) -> None:
        """Take note of the event that it has become."""

    async def discarded(self, rejected: Rejected) -> None:
        """Forget what was in it."""


class BodyUnavailable(HooklaneError):
    """Kafka does not have the body any more (or not yet); the message says why."""


class BodyErased(BodyUnavailable):
    """Somebody had the event's payload erased; what Kafka still has of it is not given away."""

    def __init__(self, erasure: Erasure) -> None:
        super().__init__(f"the event's payload was erased at {iso_ms(erasure.erased_ms)}")


class BodyAway(BodyUnavailable):
    """Kafka does not answer; it may have the body."""


class Kept(NamedTuple):
    """A ``deliveries`` record: the webhook's body, and what is known of the delivery."""

    body: bytes
    meta: DeliveryMeta


class Place(NamedTuple):
    """Where a ``deliveries`` record is, and of which endpoint and event it has to be."""

    partition: int
    offset: int
    endpoint_id: str
    event_id: str


class Bodies(Protocol):
    """The exact bytes of webhooks, as Kafka keeps them."""

    async def read(self, place: Place) -> Kept:
        """Return that ``deliveries`` record; raises BodyUnavailable."""

    async def read_many(self, places: Sequence[Place]) -> Sequence[Kept | BodyUnavailable]:
        """Return these records, in order, or why one is not to be had; raises BodyAway."""


class JobBodies(Bodies, Protocol):
    """Bodies that are read some time before they are used."""

    async def unerased(
        self, found: Sequence[Kept | BodyUnavailable]
    ) -> Sequence[Kept | BodyUnavailable]:
        """Return what was read before, without what was erased since; raises Outage."""


class Sink(Protocol):
    """Kafka for writing."""

    async def publish_within(self, records: Sequence[Record], timeout_ms: int) -> list[Position]:
        """Return when the broker has acknowledged all records; raises Outage."""


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the handlers are given. ``now_ms`` is the clock, ``entropy`` random bytes.

    Jobs read bodies through ``job_bodies``, so that callers never wait for one.
    ``retention_days`` is how long the deployment keeps the delivery log.
    """

    workspaces: Workspaces
    api_keys: ApiKeys
    audit: AuditLog
    endpoints: Endpoints
    log: DeliveryLog
    search: LogSearch
    stats: Stats
    health: Health
    claims: Claims
    jobs: Jobs
    counters: Counters
    deletions: Deletions
    rejected: RejectedEvents
    erasures: Erasures
    bodies: Bodies
    job_bodies: JobBodies
    sink: Sink
    profiles: Mapping[str, Profile]
    keyring: Keyring
    egress: EgressPolicy
    limits: Limits
    retention_days: int
    events_topic: str
    deliveries_topic: str
    now_ms: Callable[[], int]
    entropy: Callable[[int], bytes]
    traces: Tracer = OFF
