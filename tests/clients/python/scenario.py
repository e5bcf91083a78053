"""A webhook's life, with the client that openapi-python-client makes from the OpenAPI document.

Arguments: the gateway's address, an API key, and the address of a receiver that takes the first
event, refuses the second one once, and takes what follows. Prints what it has seen as JSON;
``scenario.ts`` does the same.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from hooklane_client.api.deliveries import (
    get_webhook_delivery,
    list_webhook_deliveries,
    recover_webhook,
)
from hooklane_client.api.events import publish_event
from hooklane_client.api.jobs import get_job
from hooklane_client.api.webhooks import (
    create_webhook,
    delete_webhook,
    get_webhook,
    rotate_webhook_secret,
    update_webhook,
)
from hooklane_client.client import AuthenticatedClient
from hooklane_client.models import (
    Accepted,
    CreateWebhook,
    CreateWebhookMetadata,
    Delivery,
    DeliveryDetail,
    DeliveryList,
    DeliveryStatus,
    Event,
    EventData,
    JobDetail,
    JobDetailState,
    Problem,
    Recover,
    RotateSecret,
    Secret,
    UpdateWebhook,
    Webhook,
)

TRIES: Final = 300
EVERY_S: Final = 0.1

T = TypeVar("T")


def told(kind: type[T], answer: Any) -> T:
    """Return what was answered, as the kind that it has to be."""
    assert isinstance(answer, kind), answer
    return answer


def until(look: Callable[[], T | None], what: str) -> T:
    """Look until there is something, and return it."""
    for _ in range(TRIES):
        if (found := look()) is not None:
            return found
        time.sleep(EVERY_S)
    raise AssertionError(f"no {what} after {TRIES * EVERY_S:.0f} s")


def publish(client: AuthenticatedClient, short_code: str) -> str:
    """Publish an event, twice under one key, and return its id."""
    data = EventData.from_dict({"short_code": short_code})
    event = Event(type_="qr.scanned", data=data)
    first, again = (
        told(
            Accepted,
            publish_event.sync(client=client, body=event, idempotency_key=f"scan-{short_code}"),
        )
        for _ in range(2)
    )
    assert first.id == again.id
    event_id: str = first.id
    return event_id


def logged(
    client: AuthenticatedClient, webhook_id: str, event_id: str, status: DeliveryStatus
) -> Delivery:
    """Wait for a delivery of the event with this outcome."""

    def look() -> Delivery | None:
        listed = list_webhook_deliveries.sync(webhook_id, client=client, status=status)
        found = (one for one in told(DeliveryList, listed).data if one.event_id == event_id)
        return next(found, None)

    return until(look, f"delivery of {event_id} that is {status.value}")


def refusals(client: AuthenticatedClient, url: str) -> dict[str, Any]:
    """Do what is wrong; every answer is a problem with its type."""
    wrong = CreateWebhook(url="http://127.0.0.1.example:99999/", events=["qr.scaned"])
    invalid = told(Problem, create_webhook.sync(client=client, body=wrong))
    absent = told(Problem, get_webhook.sync("wh_none", client=client))
    with AuthenticatedClient(base_url=url, token="nobody") as stranger:
        unknown = told(Problem, get_webhook.sync("wh_none", client=stranger))
    return {
        "types": [problem.type_ for problem in (invalid, absent, unknown)],
        "statuses": [problem.status for problem in (invalid, absent, unknown)],
        "fields": [error.field for error in invalid.errors or ()],
    }


def changed(client: AuthenticatedClient, webhook_id: str) -> Problem:
    """Change the webhook with its ETag; return what a second change with the same ETag gets."""
    shown = get_webhook.sync_detailed(webhook_id, client=client)
    known = {"if_match": shown.headers["ETag"], "client": client}
    patch = UpdateWebhook(description="Changed")
    assert told(Webhook, update_webhook.sync(webhook_id, body=patch, **known)).description
    return told(Problem, update_webhook.sync(webhook_id, body=patch, **known))


def recovered(client: AuthenticatedClient, webhook: Webhook) -> JobDetail:
    """Send again what failed, and return the job when it is done."""
    wanted = Recover(since=webhook.created_at)
    begun = told(JobDetail, recover_webhook.sync(webhook.id, client=client, body=wanted))

    def look() -> JobDetail | None:
        job = told(JobDetail, get_job.sync(begun.id, client=client))
        return None if job.state == JobDetailState.RUNNING else job

    return until(look, "end of the job")


def main(url: str, api_key: str, receiver: str) -> dict[str, Any]:
    """Go through it and return what was seen."""
    with AuthenticatedClient(base_url=url, token=api_key) as client:
        metadata = CreateWebhookMetadata.from_dict({"team": "billing"})
        wanted = CreateWebhook(
            url=receiver, events=["*"], metadata=metadata, retry_delays=[], description="First"
        )
        webhook = told(Webhook, create_webhook.sync(client=client, body=wanted))
        first = publish(client, "first")
        delivery = logged(client, webhook.id, first, DeliveryStatus.SUCCESS)
        shown = get_webhook_delivery.sync(webhook.id, delivery.id, client=client)
        detail = told(DeliveryDetail, shown)
        second = publish(client, "second")
        logged(client, webhook.id, second, DeliveryStatus.FAILED)
        job = recovered(client, webhook)
        logged(client, webhook.id, second, DeliveryStatus.SUCCESS)
        stale = changed(client, webhook.id)
        rotation = RotateSecret(overlap_s=0)
        secret = told(Secret, rotate_webhook_secret.sync(webhook.id, client=client, body=rotation))
        third = publish(client, "third")
        logged(client, webhook.id, third, DeliveryStatus.SUCCESS)
        refused = refusals(client, url)
        assert delete_webhook.sync_detailed(webhook.id, client=client).status_code == 204
        gone = told(Problem, get_webhook.sync(webhook.id, client=client))
    return {
        "events": [first, second, third],
        "secrets": [webhook.secret, secret.secret],
        "metadata": webhook.to_dict()["metadata"],
        "body": detail.request.body,
        "answered": told(object, detail.response).status_code,  # type: ignore[attr-defined]
        "recovered": job.sent,
        "stale": [stale.status, stale.type_],
        "gone": gone.status,
        "refused": refused,
    }


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
