"""Records of the first release and of one to come, among ours on every topic: a rolling upgrade.

The first release's forms are those of the oldest golden files: what has come since is not in them.
A later one's have members, array elements and headers that nobody knows yet.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from shared.models.deliveries import META_HEADER, DeliveryMeta, encode_meta
from tests.support.receivers import OK, ScriptedReceiver, failing
from tests.support.stack import FAST, Hooklane, Json, KafkaRecord, Workspace

GOLDEN: Final = Path(__file__).parents[1] / "golden"
TYPE: Final = "qr.scanned"
META_V1: Final[list[object]] = msgspec.msgpack.decode(
    (GOLDEN / "delivery-meta.v1.msgpack").read_bytes()
)


def first_form(file: str, members: Json) -> bytes:
    """Return the JSON that the first release wrote: without what its golden file does not have."""
    known = json.loads((GOLDEN / file).read_bytes())
    return json.dumps({name: value for name, value in members.items() if name in known}).encode()


def later_form(members: Json) -> bytes:
    """Return the JSON of a release to come."""
    return json.dumps({"added_first": {"x": [None]}, **members, "added_last": 1}).encode()


def of_endpoint(endpoint_id: str, event_id: str | None = None) -> Any:
    """Return what tells an endpoint's records, or those of one event, from others."""

    def wanted(record: KafkaRecord) -> bool:
        if record.key != endpoint_id.encode() or record.value is None:
            return False
        return event_id is None or json.loads(record.value).get("event_id") == event_id

    return wanted


async def test_states_of_other_releases_are_matched_and_sent_to(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    workspace = await hooklane.workspace(FAST)
    endpoints = await hooklane.topic("endpoints")
    forms = {"/first": lambda s: first_form("endpoint.v1.json", s), "/later": later_form}
    for path, form in forms.items():
        made = await workspace.create(receiver.url("/before"), [TYPE])
        record = (await endpoints.find(of_endpoint(made["id"]), what="its state"))[-1]
        state = json.loads(record.value or b"")
        moved = {**state, "url": receiver.url(path), "revision": state.get("revision", 0) + 1_000}
        await hooklane.produce("endpoints", form(moved), key=made["id"].encode())
    await workspace.create(receiver.url("/this"), [TYPE])

    await hooklane.publish(workspace.event(TYPE, "evt_matched"))

    for path in (*forms, "/this"):
        assert await receiver.got(path, "evt_matched") == ["evt_matched"]
    assert receiver.ids_at("/before") == []


async def test_deliveries_of_other_releases_are_sent_and_retried(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    """What a later release added is lost with the first retry by a worker of this one."""
    workspace = await hooklane.workspace(FAST)
    for form in ("first", "this", "later"):
        made = await workspace.create(receiver.url(f"/{form}"), [TYPE])
        receiver.script(f"/{form}", failing(500), OK)
        headers = [(META_HEADER, _meta(workspace, "evt_given", form)), ("x-added", b"\x00")]
        key = made["id"].encode()
        await hooklane.produce("deliveries", b'{"id":"evt_given"}', key=key, headers=headers)

        rows = await workspace.logged(
            made["id"], lambda rows: len(rows) == 2, what=f"two attempts of the {form} form"
        )

        assert [row["status"] for row in rows] == ["success", "failed"]
        assert receiver.ids_at(f"/{form}") == ["evt_given"] * 2


def _meta(workspace: Workspace, event_id: str, form: str) -> bytes:
    now_ms = time.time_ns() // 1_000_000
    meta = DeliveryMeta(event_id, TYPE, workspace.id, 1, "event", 1, now_ms, now_ms)
    fields: list[object] = msgspec.msgpack.decode(encode_meta(meta))
    forms = {"first": fields[: len(META_V1)], "this": fields, "later": [*fields, {"added": 1}]}
    return msgspec.msgpack.encode(forms[form])


async def test_attempts_of_other_releases_are_in_the_log(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    workspace = await hooklane.workspace(FAST)
    made = await workspace.create(receiver.url("/"), [TYPE])
    await hooklane.publish(workspace.event(TYPE, "evt_this"))
    attempts = await hooklane.topic("attempts")
    (record,) = await attempts.find(of_endpoint(made["id"], "evt_this"), what="its attempt")
    attempt = json.loads(record.value or b"")

    key = made["id"].encode()
    earlier, later = {**attempt, "event_id": "evt_first"}, {**attempt, "event_id": "evt_later"}
    await hooklane.produce("attempts", first_form("attempt-answered.v1.json", earlier), key=key)
    await hooklane.produce("attempts", later_form(later), key=key)

    await workspace.logged(
        made["id"],
        lambda rows: {row["event_id"] for row in rows} == {"evt_first", "evt_this", "evt_later"},
        what="three rows",
    )


async def test_events_with_members_and_headers_that_nobody_knows_are_delivered(
    hooklane: Hooklane, receiver: ScriptedReceiver
) -> None:
    workspace = await hooklane.workspace(FAST)
    await workspace.create(receiver.url("/"), [TYPE])
    event = workspace.event(TYPE, "evt_later")
    later = msgspec.structs.replace(
        event, value=later_form(json.loads(event.value or b"")), headers=(("x-added", b"1"),)
    )

    await hooklane.publish(workspace.event(TYPE, "evt_this"), later)

    for event_id in ("evt_this", "evt_later"):
        assert event_id in await receiver.got("/", event_id)
