"""Endpoints: create, read, change, delete, show the secret, ping."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET

from services.gateway import validation
from services.gateway.auth import Caller
from services.gateway.ports import Ports
from services.gateway.schemas import CreateWebhook, UpdateWebhook
from shared.kafka.publisher import Record
from shared.models import ids
from shared.models.deliveries import META_HEADER, TRIGGER_PING, DeliveryMeta, encode_meta
from shared.models.errors import NotFound, Outage
from shared.models.management import Endpoint
from shared.models.times import iso_ms
from shared.profiles.profile import Profile
from shared.rendering.envelope import Envelope
from shared.signing.keyring import NONCE_BYTES

CHANGE_TRIES_MAX: Final = 5
PUBLISH_TIMEOUT_MS: Final = 5_000
_TAKEN_AS_GIVEN: Final = ("url", "description", "concurrency", "rate_limit")


async def create(ports: Ports, caller: Caller, wanted: CreateWebhook) -> tuple[Endpoint, str]:
    """Create an endpoint; returns it and its secret, once every service can know it.

    Raises InvalidFields, or Outage: then there is no endpoint and the call may be repeated.
    """
    validation.check(wanted, profile=caller.profile, policy=ports.egress, limits=ports.limits)
    secret = wanted.secret
    if secret is None:
        entropy = ports.entropy(validation.SECRET_ENTROPY_BYTES)
        secret = validation.new_secret(caller.profile.signature, entropy)
    now_ms = ports.now_ms()
    identifier = ids.new_id(ids.ENDPOINT, now_ms, ports.entropy(ids.ENTROPY_BYTES))
    endpoint = Endpoint(
        id=identifier,
        workspace_id=caller.workspace_id,
        profile=caller.profile.name,
        url=wanted.url,
        events=validation.without_repeats(wanted.events),
        secret=ports.keyring.seal(secret, identifier, ports.entropy(NONCE_BYTES)),
        secret_hint=validation.hint_of(secret),
        description=wanted.description,
        concurrency=wanted.concurrency,
        rate_limit=wanted.rate_limit,
        created_ms=now_ms,
        updated_ms=now_ms,
    )
    return await ports.endpoints.create(endpoint), secret


async def get(ports: Ports, caller: Caller, endpoint_id: str) -> Endpoint:
    """Return an endpoint of the caller's workspace; raises NotFound."""
    endpoint = await ports.endpoints.get(caller.workspace_id, endpoint_id)
    if endpoint is None:
        raise _not_found(endpoint_id)
    return endpoint


async def failures(ports: Ports, endpoint: Endpoint) -> int:
    """Return how many attempts in a row have failed since the endpoint was enabled."""
    return await ports.health.failures(endpoint.id, endpoint.epoch)


async def page(
    ports: Ports, caller: Caller, *, limit: int, before: str | None
) -> tuple[list[Endpoint], str | None]:
    """Return a page of endpoints, newest first, and where the next one begins."""
    found = await ports.endpoints.page(caller.workspace_id, limit=limit + 1, before=before)
    shown = found[:limit]
    return shown, shown[-1].id if len(found) > limit else None


async def change(ports: Ports, caller: Caller, endpoint_id: str, wanted: UpdateWebhook) -> Endpoint:
    """Change an endpoint; returns it once every service can know the change.

    Raises InvalidFields, NotFound, or Outage: then the change may be stored and will be published,
    and the call may be repeated.
    """
    validation.check(wanted, profile=caller.profile, policy=ports.egress, limits=ports.limits)
    for _ in range(CHANGE_TRIES_MAX):
        current = await get(ports, caller, endpoint_id)
        changed = await ports.endpoints.replace(changed_by(current, wanted, ports.now_ms()))
        if changed is not None:
            return changed
    raise Outage(f"{endpoint_id} is being changed by others all the time")


def changed_by(current: Endpoint, wanted: UpdateWebhook, now_ms: int) -> Endpoint:
    """Return ``current`` with what ``wanted`` sets. Pure.

    Enabling a disabled endpoint begins a new epoch, in which earlier failures do not count.
    """
    as_given = {name: getattr(wanted, name) for name in _TAKEN_AS_GIVEN}
    changes = {name: value for name, value in as_given.items() if value is not UNSET}
    changed = msgspec.structs.replace(current, updated_ms=now_ms, **changes)
    if wanted.events is not UNSET:
        events = validation.without_repeats(wanted.events)
        changed = msgspec.structs.replace(changed, events=events)
    if wanted.is_active is not UNSET:
        changed = msgspec.structs.replace(
            changed,
            active=wanted.is_active,
            disabled_reason=None,
            epoch=current.epoch + (wanted.is_active and not current.active),
        )
    return changed


async def delete(ports: Ports, caller: Caller, endpoint_id: str) -> None:
    """Delete an endpoint; raises NotFound."""
    if not await ports.endpoints.delete(caller.workspace_id, endpoint_id):
        raise _not_found(endpoint_id)


async def secret(ports: Ports, caller: Caller, endpoint_id: str) -> str:
    """Return an endpoint's signing secret."""
    endpoint = await get(ports, caller, endpoint_id)
    return ports.keyring.open(endpoint.secret, endpoint.id)


async def ping(ports: Ports, caller: Caller, endpoint_id: str) -> tuple[str, str]:
    """Send a test event to one endpoint; returns the event's id and creation time.

    The ping takes the way of every delivery, without fan-out. It is one attempt, whatever the
    profile's schedule, and goes to a disabled endpoint too: that is how a repair is tried out.
    """
    endpoint = await get(ports, caller, endpoint_id)
    now_ms = ports.now_ms()
    event_id = ids.new_id(ids.EVENT, now_ms, ports.entropy(ids.ENTROPY_BYTES))
    created = iso_ms(now_ms)
    meta = DeliveryMeta(
        event_id=event_id,
        event_type=caller.profile.events.ping,
        workspace_id=endpoint.workspace_id,
        attempt=1,
        trigger=TRIGGER_PING,
        revision=endpoint.revision,
        accepted_ms=now_ms,
        due_ms=now_ms,
    )
    record = Record(
        topic=ports.deliveries_topic,
        key=endpoint.id.encode(),
        value=_ping_body(caller.profile, endpoint, event_id, created),
        headers=((META_HEADER, encode_meta(meta)),),
    )
    await ports.sink.publish_within([record], PUBLISH_TIMEOUT_MS)
    return event_id, created


def _ping_body(profile: Profile, endpoint: Endpoint, event_id: str, created: str) -> bytes:
    data = {"webhook_id": endpoint.id, "message": "This is a test ping."}
    return Envelope(profile).render(
        event_id=event_id,
        event_type=profile.events.ping,
        created=created,
        data=msgspec.json.encode(data),
    )


def _not_found(endpoint_id: str) -> NotFound:
    return NotFound(f"this workspace has no webhook {endpoint_id[:64]!r}")
