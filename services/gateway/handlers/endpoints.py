"""Endpoints: create, read, change, pause, delete, ping. Rotating secrets is in ``signing``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import UNSET

from services.gateway import custom_headers, keys, validation
from services.gateway.auth import Caller
from services.gateway.contention import until_stored
from services.gateway.custom_headers import NO_HEADERS, Sealed
from services.gateway.endpoint_filters import Filters, chosen_by
from services.gateway.etags import ANYTHING, Condition
from services.gateway.idempotency import Origin
from services.gateway.ports import Ports
from services.gateway.rooms import check_room
from services.gateway.schemas import CreateWebhook, UpdateWebhook
from shared.kafka.publisher import Record
from shared.models import ids
from shared.models.deliveries import META_HEADER, TRIGGER_PING, DeliveryMeta, encode_meta
from shared.models.errors import NotFound
from shared.models.management import Endpoint
from shared.models.times import iso_ms
from shared.profiles.formats import in_format
from shared.profiles.profile import Profile
from shared.rendering.envelope import Envelope

PUBLISH_TIMEOUT_MS: Final = 5_000
_TAKEN_AS_GIVEN: Final = (
    "url",
    "description",
    "concurrency",
    "rate_limit",
    "retry_delays",
    "timeout_ms",
    "success_codes",
)


async def create(
    ports: Ports, caller: Caller, wanted: CreateWebhook, origin: Origin
) -> tuple[Endpoint, str | None]:
    """Create an endpoint; returns it and its secret, once every service can know it.

    There is no secret to return where its public key is enough. What a gateway has created that
    died before it could say so is found, and returned instead.

    Raises InvalidFields, LimitReached, or Outage: then there is no endpoint and the call may be
    repeated.
    """
    _check(ports, caller, wanted)
    *earlier, identifier = _identifiers(ports, origin)
    for one in earlier:
        standing = await ports.endpoints.get(caller.workspace_id, one)
        if standing is not None:
            return standing, keys.opened(ports, standing)
    if caller.limits.webhooks is not None:
        check_room(caller.limits, "webhooks", await ports.endpoints.count(caller.workspace_id))
    formatted = in_format(caller.profile, wanted.payload_format or "profile")
    secret = wanted.secret or keys.generated(ports, formatted, wanted.signature)
    made = keys.seal(ports, identifier, secret)
    blank = Endpoint(
        id=identifier,
        workspace_id=caller.workspace_id,
        profile=caller.profile.name,
        url=wanted.url,
        events=(),
        secret=made.text,
        secret_hint=made.hint,
        public_key=made.public_key,
        created_ms=origin.time_ms,
        updated_ms=origin.time_ms,
    )
    endpoint = with_fields(blank, wanted, _sealed_headers(ports, wanted, identifier))
    validation.check_whole(endpoint)
    created = await ports.endpoints.create(endpoint)
    caller.trail.changed(None, created)
    return created, made.shown


def _identifiers(ports: Ports, origin: Origin) -> list[str]:
    """Return the id of what is created; before it those that others may have used for this call."""
    claim = origin.claim
    if claim is None:
        return [ids.new_id(ids.ENDPOINT, origin.time_ms, ports.entropy(ids.ENTROPY_BYTES))]
    return [
        ids.derived_id(ids.ENDPOINT, claim.time_ms, claim.id, claim.fingerprint, str(number))
        for number in range(claim.takeovers + 1)
    ]


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
    ports: Ports, caller: Caller, *, filters: Filters, limit: int, before: str | None
) -> tuple[list[Endpoint], str | None]:
    """Return a page of endpoints, newest first, and where the next one begins.

    Raises InvalidFields for a filter that is none.
    """
    chosen = chosen_by(caller.profile, filters)
    found = await ports.endpoints.page(
        caller.workspace_id, limit=limit + 1, before=before, chosen=chosen
    )
    shown = found[:limit]
    return shown, shown[-1].id if len(found) > limit else None


async def change(
    ports: Ports,
    caller: Caller,
    endpoint_id: str,
    wanted: UpdateWebhook,
    condition: Condition = ANYTHING,
) -> Endpoint:
    """Change an endpoint; returns it once every service can know the change.

    Raises InvalidFields, NotFound, PreconditionFailed, or Outage: then the change may be stored and
    will be published, and the call may be repeated.
    """
    _check(ports, caller, wanted)
    sealed = _sealed_headers(ports, wanted, endpoint_id)

    def merged(current: Endpoint) -> Endpoint:
        changed = changed_by(current, wanted, ports.now_ms(), sealed)
        validation.check_whole(changed)
        if changed.payload_format != current.payload_format:
            opened = ports.keyring.open(current.secret, current.id)
            validation.check_format(caller.profile, changed.payload_format, opened)
        return changed

    return await replace(ports, caller, endpoint_id, condition, merged)


async def pause(
    ports: Ports, caller: Caller, endpoint_id: str, condition: Condition = ANYTHING
) -> Endpoint:
    """Send nothing to an endpoint until it is resumed; raises as ``change`` does."""

    def paused(current: Endpoint) -> Endpoint:
        now_ms = ports.now_ms()
        if current.paused_ms is not None:
            return current
        return msgspec.structs.replace(current, paused_ms=now_ms, updated_ms=now_ms)

    return await replace(ports, caller, endpoint_id, condition, paused)


async def resume(
    ports: Ports, caller: Caller, endpoint_id: str, condition: Condition = ANYTHING
) -> Endpoint:
    """End a pause; raises as ``change`` does."""

    def resumed(current: Endpoint) -> Endpoint:
        if current.paused_ms is None:
            return current
        return msgspec.structs.replace(current, paused_ms=None, updated_ms=ports.now_ms())

    return await replace(ports, caller, endpoint_id, condition, resumed)


def changed_by(
    current: Endpoint, wanted: UpdateWebhook, now_ms: int, sealed: Sealed = NO_HEADERS
) -> Endpoint:
    """Return ``current`` with what ``wanted`` sets; ``sealed`` are its headers. Pure.

    Enabling a disabled endpoint begins a new epoch, in which earlier failures do not count.
    """
    changed = msgspec.structs.replace(with_fields(current, wanted, sealed), updated_ms=now_ms)
    if wanted.is_active is UNSET:
        return changed
    return msgspec.structs.replace(
        changed,
        active=wanted.is_active,
        disabled_reason=None,
        epoch=current.epoch + (wanted.is_active and not current.active),
        paused_ms=None if wanted.is_active else current.paused_ms,
    )


def with_fields(
    endpoint: Endpoint, wanted: CreateWebhook | UpdateWebhook, sealed: Sealed
) -> Endpoint:
    """Return ``endpoint`` with the fields that ``wanted`` has, merged by RFC 7396. Pure.

    ``sealed`` stands for the values of ``wanted.headers``.
    """
    given = {name: getattr(wanted, name) for name in _TAKEN_AS_GIVEN}
    changes = {name: value for name, value in given.items() if value is not UNSET}
    if wanted.events is not UNSET:
        changes["events"] = validation.without_repeats(wanted.events)
    if wanted.metadata is not UNSET:
        metadata = {} if wanted.metadata is None else {**endpoint.metadata, **wanted.metadata}
        changes["metadata"] = {key: text for key, text in metadata.items() if text is not None}
    if wanted.headers is not UNSET:
        headers = () if wanted.headers is None else endpoint.headers
        changes["headers"] = custom_headers.merged(headers, sealed)
    if wanted.payload_format is not UNSET:
        changes["payload_format"] = wanted.payload_format or "profile"
    if wanted.channels is not UNSET:
        changes["channels"] = validation.without_repeats(wanted.channels or ())
    if wanted.filter is not UNSET:
        # As a whole, unlike RFC 7396: a mixture of two filters would match what neither says.
        text = None if wanted.filter is None else msgspec.json.encode(wanted.filter).decode()
        changes["filter"] = text
    return msgspec.structs.replace(endpoint, **changes)


async def delete(
    ports: Ports, caller: Caller, endpoint_id: str, condition: Condition = ANYTHING
) -> None:
    """Delete an endpoint; raises NotFound or PreconditionFailed."""
    revision = None
    current = await ports.endpoints.get(caller.workspace_id, endpoint_id)
    if condition is not ANYTHING:
        if current is None:
            raise _not_found(endpoint_id)
        condition.check(current)
        revision = current.revision
    if await ports.endpoints.delete(caller.workspace_id, endpoint_id, revision=revision):
        if current is not None:
            caller.trail.changed(current, None)
        return
    condition.check(await get(ports, caller, endpoint_id))
    raise _not_found(endpoint_id)


async def replace(
    ports: Ports,
    caller: Caller,
    endpoint_id: str,
    condition: Condition,
    change_of: Callable[[Endpoint], Endpoint],
) -> Endpoint:
    """Put ``change_of`` the present endpoint in its place; nothing is stored if it is the same.

    Raises NotFound, PreconditionFailed, what ``change_of`` raises, or Outage as ``change`` does.
    """

    async def attempt() -> Endpoint | None:
        current = await get(ports, caller, endpoint_id)
        condition.check(current)
        wanted = change_of(current)
        if wanted is current:
            return current
        changed = await ports.endpoints.replace(wanted)
        if changed is not None:
            caller.trail.changed(current, changed)
        return changed

    return await until_stored(endpoint_id, attempt)


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
        payload_format=endpoint.payload_format,
    )
    record = Record(
        topic=ports.deliveries_topic,
        key=endpoint.id.encode(),
        value=_ping_body(caller.profile, endpoint, event_id, created),
        headers=((META_HEADER, encode_meta(meta)),),
    )
    await ports.sink.publish_within([record], PUBLISH_TIMEOUT_MS)
    return event_id, created


def _check(ports: Ports, caller: Caller, wanted: CreateWebhook | UpdateWebhook) -> None:
    validation.check(wanted, profile=caller.profile, policy=ports.egress, limits=ports.limits)


def _sealed_headers(
    ports: Ports, wanted: CreateWebhook | UpdateWebhook, endpoint_id: str
) -> Sealed:
    if not isinstance(wanted.headers, dict):
        return NO_HEADERS
    return custom_headers.seal(wanted.headers, endpoint_id, ports.keyring, ports.entropy)


def _ping_body(profile: Profile, endpoint: Endpoint, event_id: str, created: str) -> bytes:
    data = {"webhook_id": endpoint.id, "message": "This is a test ping."}
    return Envelope(profile, endpoint.payload_format).render(
        event_id=event_id,
        event_type=profile.events.ping,
        created=created,
        workspace_id=endpoint.workspace_id,
        data=msgspec.json.encode(data),
    )


def _not_found(endpoint_id: str) -> NotFound:
    return NotFound(f"this workspace has no webhook {endpoint_id[:64]!r}")
