"""One running Hooklane, and what it really delivered: the bytes that the programs are given."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import pytest_asyncio

from tests.support.receivers import Received, ScriptedReceiver
from tests.support.stack import Hooklane, Json, Workspace, open_hooklane

TYPE: Final = "invoice.paid"
DATA: Final = (
    '{"name": "Zoë 😀 €", "n": 1.50, "big": 12345678901234567890, "t": "a\\u2028b"}'.encode()
)
OLD, NEW, FOREIGN = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in range(3))


class Delivered(NamedTuple):
    """Requests to a webhook of Standard Webhooks, as its secret was rotated twice, then to v1a.

    In ``during`` the new and the old secret sign, in ``ended`` the new one, in ``both`` a key pair
    and the new secret, in ``v1a`` the key pair; ``ping`` has the old secret, before all of them.
    ``keys`` and ``foreign_keys`` are the key sets of this webhook and of another.
    """

    ping: Received
    during: Received
    ended: Received
    both: Received
    v1a: Received
    keys: Json
    foreign_keys: Json


class Webhook:
    """A webhook of the test's, and its receiver."""

    def __init__(self, workspace: Workspace, receiver: ScriptedReceiver, shown: Json) -> None:
        self._workspace = workspace
        self._receiver = receiver
        self.id: str = shown["id"]

    async def rotate(self, **wanted: Any) -> None:
        path = f"/v1/webhooks/{self.id}/secret/rotate"
        await self._workspace.call("POST", path, wanted)

    async def get(self, hooklane: Hooklane, event_id: str) -> Received:
        """Publish an event and return the request that it becomes."""
        await hooklane.publish(self._workspace.event(TYPE, event_id, DATA))
        await self._receiver.got("/", event_id)
        return self._receiver.at("/")[-1]

    async def ping(self) -> Received:
        """Return the request of a test ping, the first one of this webhook."""
        await self._workspace.call("POST", f"/v1/webhooks/{self.id}/ping")
        return (await self._receiver.arrived("/"))[0]

    async def keys(self) -> Json:
        path = f"/.well-known/webhooks/{self.id}/jwks.json"
        shown: Json = await self._workspace.call("GET", path)
        return shown


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def hooklane() -> AsyncIterator[Hooklane]:
    """Return the running stack."""
    async with open_hooklane() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def delivered(hooklane: Hooklane) -> Delivered:
    """Rotate a webhook's secret and return what arrived meanwhile."""
    workspace = await hooklane.workspace("standard")
    async with ScriptedReceiver() as receiver:
        shown = await workspace.create(receiver.url("/"), secret=OLD)
        webhook = Webhook(workspace, receiver, shown)
        other = await workspace.create(receiver.url("/other"), signature="v1a")
        ping = await webhook.ping()
        await webhook.rotate(secret=NEW)
        during = await webhook.get(hooklane, "evt_during")
        await webhook.rotate(secret=NEW, overlap_s=0)
        ended = await webhook.get(hooklane, "evt_ended")
        await webhook.rotate(signature="v1a")
        both = await webhook.get(hooklane, "evt_both")
        keys = await webhook.keys()
        await webhook.rotate(signature="v1", secret=NEW)
        await webhook.rotate(signature="v1a", overlap_s=0)
        # Each pair is shown while it signs, so the key set of both requests is put together.
        v1a = await webhook.get(hooklane, "evt_v1a")
        return Delivered(
            ping=ping,
            during=during,
            ended=ended,
            both=both,
            v1a=v1a,
            keys={"keys": [*keys["keys"], *(await webhook.keys())["keys"]]},
            foreign_keys=await Webhook(workspace, receiver, other).keys(),
        )
