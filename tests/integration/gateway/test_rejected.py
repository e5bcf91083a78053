"""Rejected events over HTTP: look, correct, re-submit, discard."""

import json

import msgspec
import pytest

from shared.models.events import Coordinates, Event, decode_event
from shared.models.rejected import COPY_BYTES_MAX, Place, Rejected, read_rejected
from shared.storage.mongo.rejected import RejectedStore
from shared.topics import EVENTS
from tests.integration.gateway.conftest import Gateway, MakeTenant, Tenant
from tests.integration.gateway.reading import records_of

pytestmark = pytest.mark.integration

AT = Coordinates("events", 0, 0, 0)
NOW_MS = 4_000_000_000_000
PATH = "/v1/rejected-events"
RIGHT = {"type": "qr.scanned", "data": {"n": 1}}


async def put_aside(
    gateway: Gateway, tenant: Tenant, value: bytes, *headers: tuple[str, bytes], offset: int = 0
) -> Rejected:
    """Store a copy as the recorder does."""
    place = Place("events", 0, offset, NOW_MS + offset)
    ours = (
        ("hooklane-rejected-reason", b"unknown event type 'qr.scaned'"),
        ("hooklane-rejected-field", b"type"),
        ("hooklane-rejected-origin", msgspec.json.encode(place)),
        ("hooklane-rejected-workspace", tenant.id.encode()),
    )
    copy = read_rejected(value, (*headers, *ours))
    assert copy is not None
    await RejectedStore(gateway.parts.mongo, retention_days=30).insert([copy])
    return copy


async def published(gateway: Gateway) -> list[Event]:
    records = await records_of(gateway.settings, EVENTS)
    return [decode_event(record.value, (), AT) for record in records]


async def test_it_is_listed_shown_and_discarded(gateway: Gateway, qr3: Tenant) -> None:
    value = b'{"type":"qr.scaned","data":{}}'
    copies = [await put_aside(gateway, qr3, value, ("x", b"\xff"), offset=n) for n in range(3)]

    listed = (await gateway.client.get(f"{PATH}?limit=2", headers=qr3.key)).json()
    more = await gateway.client.get(f"{PATH}?cursor={listed['next_cursor']}", headers=qr3.key)
    shown = (await gateway.client.get(f"{PATH}/{copies[0].id}", headers=qr3.key)).json()
    gone = await gateway.client.delete(f"{PATH}/{copies[0].id}", headers=qr3.key)
    after = await gateway.client.get(f"{PATH}/{copies[0].id}", headers=qr3.key)
    left = (await gateway.client.get(PATH, headers=qr3.key)).json()["data"]

    assert [one["id"] for one in (*listed["data"], *more.json()["data"])] == [
        copy.id for copy in reversed(copies)
    ]
    assert (shown["value"], shown["headers"], shown["state"]) == (
        value.decode(),
        [["x", "/w=="]],
        "open",
    )
    assert shown["place"] == {"topic": "events", "partition": 0, "offset": 0}
    assert (gone.status_code, after.status_code) == (204, 404)
    assert [one["id"] for one in left] == [copies[2].id, copies[1].id]


async def test_a_corrected_one_is_published_once(gateway: Gateway, qr3: Tenant) -> None:
    copy = await put_aside(gateway, qr3, b'{"type":"qr.scaned","data":{}}')
    path = f"{PATH}/{copy.id}/resubmit"

    still_wrong = await gateway.client.post(path, headers=qr3.key)
    taken = await gateway.client.post(path, headers=qr3.key, json=RIGHT)
    again = await gateway.client.post(path, headers=qr3.key, json=RIGHT)

    assert still_wrong.status_code == 422
    assert "did you mean 'qr.scanned'" in still_wrong.json()["detail"]
    assert taken.status_code == 202
    assert again.status_code == 409
    (event,) = await published(gateway)
    assert taken.json() == {"id": event.id}
    assert (event.workspace_id, json.loads(event.data)) == (qr3.id, {"n": 1})
    assert (await gateway.client.get(PATH, headers=qr3.key)).json() == {"data": []}
    shown = (await gateway.client.get(f"{PATH}/{copy.id}", headers=qr3.key)).json()
    assert (shown["state"], shown["event_id"]) == ("resubmitted", event.id)


async def test_as_it_was_it_is_the_event_that_its_place_made_it(
    gateway: Gateway, qr3: Tenant
) -> None:
    """The reason is gone (a type was added, say): fan-out would read it now with this very id."""
    value = b'{"n":1}'
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"evt_ce"),
        ("ce_type", b"qr.scanned"),
        ("ce_source", qr3.id.encode()),
    )
    cloud = await put_aside(gateway, qr3, value, *headers)
    native = await put_aside(
        gateway,
        qr3,
        json.dumps({**RIGHT, "workspace_id": qr3.id}).encode(),
        offset=1,
    )

    for copy in (cloud, native):
        answer = await gateway.client.post(f"{PATH}/{copy.id}/resubmit", headers=qr3.key)
        assert answer.status_code == 202, answer.text

    first, second = await published(gateway)
    assert (first.id, first.data) == ("evt_ce", value)
    at = Coordinates("events", 0, 1, NOW_MS + 1)
    assert second.id == decode_event(native.value, (), at).id
    assert second.created == decode_event(native.value, (), at).created


async def test_one_that_is_not_kept_whole_needs_its_correction(
    gateway: Gateway, qr3: Tenant
) -> None:
    copy = await put_aside(gateway, qr3, b"{" * (COPY_BYTES_MAX + 1))
    path = f"{PATH}/{copy.id}/resubmit"

    refused = await gateway.client.post(path, headers=qr3.key)
    taken = await gateway.client.post(path, headers=qr3.key, json=RIGHT)

    assert (refused.status_code, taken.status_code) == (409, 202)
    assert "65536 of its 65537 bytes" in refused.json()["detail"]


async def test_another_workspaces_does_not_exist(
    gateway: Gateway, qr3: Tenant, make_tenant: MakeTenant
) -> None:
    other = await make_tenant("qr3")
    copy = await put_aside(gateway, qr3, b"{}")

    for method, path in (
        ("GET", f"{PATH}/{copy.id}"),
        ("POST", f"{PATH}/{copy.id}/resubmit"),
        ("DELETE", f"{PATH}/{copy.id}"),
    ):
        answer = await gateway.client.request(method, path, headers=other.key)
        assert answer.status_code == 404, (method, path)
    assert (await gateway.client.get(PATH, headers=other.key)).json() == {"data": []}
    assert (await gateway.client.get(f"{PATH}/{copy.id}", headers=qr3.key)).status_code == 200
