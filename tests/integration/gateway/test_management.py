"""Managing endpoints: merge patch, conditions, pauses, custom headers, filtered lists."""

import asyncio
import json

import pytest

from shared.models.deliveries import meta_of
from shared.models.endpoints import header_context
from shared.signing.keyring import Keyring
from shared.topics import DELIVERIES, EVENTS
from tests.integration.gateway.conftest import Gateway, Tenant
from tests.integration.gateway.reading import records_of
from tests.integration.gateway.test_webhooks import create, last_state

pytestmark = pytest.mark.integration

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


async def test_a_merge_patch_merges_and_removes(gateway: Gateway, qr3: Tenant) -> None:
    created = await create(
        gateway, qr3, description="old", metadata={"team": "a", "stage": "x"}, concurrency=4
    )

    changed = await gateway.client.patch(
        f"/v1/webhooks/{created['id']}",
        headers=qr3.key | MERGE_PATCH,
        content=b'{"metadata": {"stage": null, "owner": "b"}, "description": null}',
    )

    assert changed.status_code == 200, changed.text
    assert changed.json()["metadata"] == {"team": "a", "owner": "b"}
    assert changed.json()["concurrency"] == 4
    assert "description" not in changed.json()


async def test_too_much_metadata_shows_once_it_is_merged(gateway: Gateway, qr3: Tenant) -> None:
    created = await create(gateway, qr3, metadata={f"a{n}": "" for n in range(50)})

    answer = await gateway.client.patch(
        f"/v1/webhooks/{created['id']}", headers=qr3.key, json={"metadata": {"one-more": ""}}
    )

    assert answer.status_code == 400
    assert answer.json()["errors"] == [
        {"field": "metadata", "detail": "has 51 entries; 50 are allowed"}
    ]


async def test_custom_headers_are_masked_here_and_sealed_on_the_topic(
    gateway: Gateway, qr3: Tenant
) -> None:
    created = await create(gateway, qr3, headers={"X-Key": "letmein", "X-Old": "gone soon"})
    path = f"/v1/webhooks/{created['id']}"

    changed = await gateway.client.patch(
        path, headers=qr3.key, json={"headers": {"x-old": None, "X-New": "fresh"}}
    )
    refused = await gateway.client.patch(
        path, headers=qr3.key, json={"headers": {"X-Key": "********", "Host": "evil"}}
    )

    assert created["headers"] == {"X-Key": "********", "X-Old": "********"}
    assert changed.json()["headers"] == {"X-Key": "********", "X-New": "********"}
    assert [error["field"] for error in refused.json()["errors"]] == [
        "headers.X-Key",
        "headers.Host",
    ]
    state = await last_state(gateway, created["id"])
    assert state is not None
    assert "letmein" not in str(state)
    ring = Keyring.parse(gateway.settings.secret_keys)
    assert {
        name: ring.open(value, header_context(state.id, name)) for name, value in state.headers
    } == {"X-Key": "letmein", "X-New": "fresh"}


async def test_a_change_of_what_has_become_another_is_refused(
    gateway: Gateway, qr3: Tenant
) -> None:
    created = await create(gateway, qr3)
    path = f"/v1/webhooks/{created['id']}"
    seen = (await gateway.client.get(path, headers=qr3.key)).headers["etag"]

    async def change(number: int) -> int:
        answer = await gateway.client.patch(
            path,
            headers=qr3.key | {"If-Match": seen},
            json={"metadata": {f"writer-{number}": "was here"}},
        )
        return answer.status_code

    statuses = await asyncio.gather(*(change(number) for number in range(8)))
    late = await gateway.client.delete(path, headers=qr3.key | {"If-Match": seen})
    shown = await gateway.client.get(path, headers=qr3.key)

    assert sorted(statuses) == [200] + [412] * 7
    assert late.status_code == 412
    assert late.json()["type"] == "/errors#precondition_failed"
    assert len(shown.json()["metadata"]) == 1
    assert shown.headers["etag"] != seen
    now = {"If-Match": shown.headers["etag"]}
    assert (await gateway.client.delete(path, headers=qr3.key | now)).status_code == 204
    assert (await gateway.client.delete(path, headers=qr3.key | now)).status_code == 404


async def test_an_if_match_that_is_none_is_refused(gateway: Gateway, qr3: Tenant) -> None:
    created = await create(gateway, qr3)

    answer = await gateway.client.patch(
        f"/v1/webhooks/{created['id']}", headers=qr3.key | {"If-Match": "1"}, json={}
    )

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "If-Match"


async def test_a_pause_is_a_state_of_its_own(gateway: Gateway, qr3: Tenant) -> None:
    created = await create(gateway, qr3)
    path = f"/v1/webhooks/{created['id']}"

    paused = await gateway.client.post(f"{path}/pause", headers=qr3.key)
    again = await gateway.client.post(f"{path}/pause", headers=qr3.key)
    state = await last_state(gateway, created["id"])
    stale = await gateway.client.post(f"{path}/resume", headers=qr3.key | {"If-Match": '"1"'})
    resumed = await gateway.client.post(f"{path}/resume", headers=qr3.key)

    assert paused.status_code == 200
    assert paused.json()["is_active"] is False
    assert "disabled_reason" not in paused.json()
    assert again.json() == paused.json()
    assert again.headers["etag"] == paused.headers["etag"]
    assert state is not None
    assert (state.active, state.paused_ms is None, state.epoch) == (True, False, 1)
    assert stale.status_code == 412
    assert resumed.json()["is_active"] is True
    assert "paused_at" not in resumed.json()
    state = await last_state(gateway, created["id"])
    assert state is not None
    assert (state.paused_ms, state.epoch, state.revision) == (None, 1, 3)


async def test_the_format_decides_what_a_secret_must_be(gateway: Gateway, qr3: Tenant) -> None:
    plain = await create(gateway, qr3)
    wanted = {"url": "https://example.com/s", "events": ["*"], "payload_format": "standard"}

    made = await gateway.client.post("/v1/webhooks", headers=qr3.key, json=wanted)
    refused = await gateway.client.post(
        "/v1/webhooks", headers=qr3.key, json=wanted | {"secret": "my-secret-key-min-16-chars"}
    )
    unsuited = await gateway.client.patch(
        f"/v1/webhooks/{plain['id']}", headers=qr3.key, json={"payload_format": "standard"}
    )
    suited = await gateway.client.patch(
        f"/v1/webhooks/{plain['id']}", headers=qr3.key, json={"payload_format": "cloudevents"}
    )

    assert made.json()["secret"].startswith("whsec_")
    assert made.json()["payload_format"] == "standard"
    assert refused.json()["errors"] == [{"field": "secret", "detail": "must begin with 'whsec_'"}]
    (error,) = unsuited.json()["errors"]
    assert error["field"] == "payload_format"
    assert "my-secret" not in unsuited.text
    assert suited.status_code == 200
    state = await last_state(gateway, plain["id"])
    assert state is not None
    assert state.payload_format == "cloudevents"


async def test_a_ping_is_rendered_as_the_endpoint_wants_it(gateway: Gateway, qr3: Tenant) -> None:
    created = await create(gateway, qr3, payload_format="cloudevents")

    answer = await gateway.client.post(f"/v1/webhooks/{created['id']}/ping", headers=qr3.key)

    (record,) = await records_of(gateway.settings, DELIVERIES)
    assert record.value is not None
    ping = json.loads(record.value)
    assert (ping["specversion"], ping["id"], ping["source"]) == ("1.0", answer.json()["id"], qr3.id)
    meta = meta_of(record.headers)
    assert meta is not None
    assert meta.payload_format == "cloudevents"


async def test_a_list_is_narrowed_in_pages(gateway: Gateway, xqr: Tenant) -> None:
    names = {}
    for number in range(3):
        wanted = {
            "url": f"https://example.com/{number}",
            "events": ["link.created" if number else "*"],
            "metadata": {"team": "even" if number % 2 == 0 else "odd", "number": str(number)},
        }
        answer = await gateway.client.post("/api/v1/webhooks", headers=xqr.key, json=wanted)
        names[answer.json()["id"]] = number

    async def listed(**query: str | list[str]) -> list[int]:
        found: list[int] = []
        query["limit"] = "1"
        while True:
            page = await gateway.client.get("/api/v1/webhooks", headers=xqr.key, params=query)
            assert page.status_code == 200, page.text
            found += [names[item["id"]] for item in page.json()["data"]]
            if "next_cursor" not in page.json():
                return found
            query["cursor"] = page.json()["next_cursor"]

    assert await listed() == [2, 1, 0]
    assert await listed(metadata="team:even") == [2, 0]
    assert await listed(metadata=["team:even", "number:2"]) == [2]
    assert await listed(event_type="link.scanned") == [0]
    assert await listed(search="COM/1") == [1]
    assert await listed(status="paused") == []


async def test_a_match_says_what_stands_in_the_way(gateway: Gateway, qr3: Tenant) -> None:
    created = await create(
        gateway, qr3, events=["qr.*"], channels=["eu"], filter={"country": {"$in": ["AT", "DE"]}}
    )
    path = f"/v1/webhooks/{created['id']}"

    async def matched(**event: object) -> dict[str, object]:
        wanted = {"type": "scan.created", "data": {"country": "AT"}, "channels": ["eu"]} | event
        answer = await gateway.client.post(f"{path}/match", headers=qr3.key, json=wanted)
        assert answer.status_code == 200, answer.text
        assert answer.json()["matches"] is all(one["matches"] for one in answer.json()["criteria"])
        return {
            one["criterion"]: one["reason"]
            for one in answer.json()["criteria"]
            if not one["matches"]
        }

    assert await matched() == {}
    assert await matched(type="workspace.updated", channels=[], data={"country": "FR"}) == {
        "type": "'workspace.updated' is not among what it subscribed: qr.*",
        "channels": "the event is on no channel, it takes eu",
        "filter": 'filter.country.$in: "FR" against ["AT","DE"]',
    }
    await gateway.client.post(f"{path}/pause", headers=qr3.key)
    assert list(await matched()) == ["active"]
    assert await records_of(gateway.settings, EVENTS) == []


async def test_an_event_that_cannot_be_published_cannot_match(
    gateway: Gateway, qr3: Tenant
) -> None:
    created = await create(gateway, qr3)
    path = f"/v1/webhooks/{created['id']}/match"

    unknown = await gateway.client.post(path, headers=qr3.key, json={"type": "x", "data": {}})
    nowhere = await gateway.client.post(
        "/v1/webhooks/wh_nowhere/match", headers=qr3.key, json={"type": "qr.scanned", "data": {}}
    )

    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "type")
    assert nowhere.status_code == 404


async def test_a_filter_is_stored_shown_and_replaced_as_a_whole(
    gateway: Gateway, qr3: Tenant
) -> None:
    first = {"a": {"$eq": None}, "n": {"$gt": 1.5}}
    created = await create(gateway, qr3, filter=first, channels=["eu", "eu", "us"])
    path = f"/v1/webhooks/{created['id']}"

    changed = await gateway.client.patch(
        path, headers=qr3.key, json={"filter": {"b": None}, "channels": None}
    )
    refused = await gateway.client.patch(
        path, headers=qr3.key, json={"filter": {"b": {"$regex": "x"}}, "channels": ["a b"]}
    )

    assert (created["filter"], created["channels"]) == (first, ["eu", "us"])
    assert changed.json()["filter"] == {"b": None}
    assert "channels" not in changed.json()
    assert [error["field"] for error in refused.json()["errors"]] == [
        "channels[0]",
        "filter.b.$regex",
    ]
    state = await last_state(gateway, created["id"])
    assert state is not None
    assert (state.filter, state.channels) == ('{"b":null}', ())


async def test_the_channels_of_a_published_event_are_on_the_topic(
    gateway: Gateway, qr3: Tenant
) -> None:
    event = {"type": "qr.scanned", "data": {}, "channels": ["eu"]}
    answer = await gateway.client.post("/v1/events", headers=qr3.key, json=event)
    refused = await gateway.client.post(
        "/v1/events", headers=qr3.key, json=event | {"channels": ["a b"]}
    )

    assert answer.status_code == 202
    assert refused.json()["errors"][0]["field"] == "channels"
    (record,) = await records_of(gateway.settings, EVENTS)
    assert json.loads(record.value or b"")["channels"] == ["eu"]
