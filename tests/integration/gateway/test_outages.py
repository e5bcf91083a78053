"""What the gateway does while MongoDB or Kafka is away."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from prometheus_client import REGISTRY

from deploy.local.mongo import Mongo as MongoProcess
from services.gateway.handlers import accounts
from services.gateway.ports import Place
from services.gateway.wiring import Parts, open_parts
from shared.config import Settings
from shared.kafka.admin import create_topics
from shared.models.events import Coordinates, decode_event
from shared.models.limits import WorkspaceLimits
from shared.topics import ENDPOINTS, EVENTS
from tests.integration.gateway.conftest import Tenant, client_of
from tests.integration.gateway.reading import records_of

pytestmark = pytest.mark.integration

AT = Coordinates("events", 0, 0, 0)
NOBODY = "127.0.0.1:9"
LIMITS = WorkspaceLimits(requests_per_second=1_000, events_per_day=1_000)
CREATE = {"url": "https://example.com/hook", "events": ["*"]}
EVENT = {"type": "qr.scanned", "data": {}}


def limits_open() -> float:
    limit = {"limit": "events_per_day"}
    return REGISTRY.get_sample_value("hooklane_gateway_limits_open_total", limit) or 0.0


async def tenant_of(parts: Parts) -> Tenant:
    workspace = await accounts.create_workspace(
        parts.ports, profile="qr3", name="test", limits=LIMITS
    )
    key = await accounts.create_api_key(parts.ports, workspace_id=workspace.id)
    return Tenant(workspace.id, key, "")


@pytest.fixture
async def mongo_process(tmp_path: Path) -> AsyncIterator[MongoProcess]:
    process = MongoProcess(tmp_path / "mongo", logs_dir=tmp_path / "logs")
    await process.start()
    yield process
    await process.kill9()


@pytest.mark.usefixtures("hasty_mongo")
async def test_without_mongodb_publishing_goes_on_and_the_rest_says_when_to_come_back(
    settings: Settings, mongo_process: MongoProcess
) -> None:
    await create_topics(settings)
    own = msgspec.structs.replace(settings, mongo_uri=mongo_process.uri)
    async with open_parts(own) as parts, client_of(parts) as client:
        tenant = await tenant_of(parts)
        once = tenant.key | {"Idempotency-Key": "order-1"}
        assert (await client.get("/health/ready")).json()["status"] == "ready"
        assert (await client.get("/v1/event-types", headers=tenant.key)).status_code == 200

        before = limits_open()
        await mongo_process.kill9()
        ready = await client.get("/health/ready")
        published = await client.post("/v1/events", headers=tenant.key, json=EVENT)
        keyed = [await client.post("/v1/events", headers=once, json=EVENT) for _ in range(2)]
        listed = await client.get("/v1/webhooks", headers=tenant.key)
        created = await client.post("/v1/webhooks", headers=tenant.key, json=CREATE)
        stranger = await client.get("/v1/webhooks", headers={"Authorization": "Bearer hk_new"})

        assert ready.status_code == 200
        assert ready.json() == {
            "status": "degraded",
            "dependencies": {"kafka": "up", "mongodb": "down"},
        }
        assert published.status_code == 202
        assert limits_open() > before, "nobody is held to limits that cannot be asked about"
        assert [answer.status_code for answer in keyed] == [202, 202]
        assert keyed[0].json() == keyed[1].json()
        for answer in (listed, created, stranger):
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "5"
            assert answer.json()["type"] == "/errors#unavailable"

        await mongo_process.start()
        assert (await client.get("/v1/webhooks", headers=tenant.key)).json() == {"data": []}
        remembered = await client.post("/v1/events", headers=once, json=EVENT)
        assert remembered.json() == keyed[0].json()
        identities = [
            decode_event(record.value, (), AT).id for record in await records_of(own, EVENTS)
        ]
        assert set(identities) == {published.json()["id"], keyed[0].json()["id"]}


async def test_before_mongodb_was_ever_there_the_gateway_is_not_ready(settings: Settings) -> None:
    await create_topics(settings)
    own = msgspec.structs.replace(settings, mongo_uri=f"mongodb://{NOBODY}/")
    async with open_parts(own) as parts, client_of(parts) as client:
        ready = await client.get("/health/ready")

        assert ready.status_code == 503
        assert ready.json()["status"] == "not ready"


async def test_without_kafka_nothing_is_accepted_and_a_creation_leaves_nothing_behind(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_topics(settings)
    async with open_parts(settings) as healthy:
        tenant = await tenant_of(healthy)
    monkeypatch.setattr("services.gateway.wiring.PUBLISH_TIMEOUT_MS", 300)
    monkeypatch.setattr("services.gateway.handlers.events.PUBLISH_TIMEOUT_MS", 300)
    cut_off = msgspec.structs.replace(settings, kafka_bootstrap=NOBODY)
    async with open_parts(cut_off) as parts, client_of(parts) as client:
        ready = await client.get("/health/ready")
        published = await client.post("/v1/events", headers=tenant.key, json=EVENT)
        created = await client.post("/v1/webhooks", headers=tenant.key, json=CREATE)
        listed = await client.get("/v1/webhooks", headers=tenant.key)

        assert ready.status_code == 503
        assert ready.json()["dependencies"] == {"kafka": "down", "mongodb": "up"}
        for answer in (published, created):
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "5"
        assert listed.json() == {"data": []}

    async with open_parts(settings) as healthy, client_of(healthy) as client:
        again = await client.post("/v1/webhooks", headers=tenant.key, json=CREATE)
        listed = await client.get("/v1/webhooks", headers=tenant.key)

        assert [item["id"] for item in listed.json()["data"]] == [again.json()["id"]]
        keys = [record.key for record in await records_of(settings, ENDPOINTS)]
        assert keys == [tenant.id.encode(), again.json()["id"].encode()]


async def test_a_detail_is_shown_without_the_body_while_kafka_is_away(settings: Settings) -> None:
    cut_off = msgspec.structs.replace(settings, kafka_bootstrap=NOBODY)
    async with open_parts(cut_off) as parts:
        with pytest.raises(Exception, match="does not answer just now"):
            await parts.ports.bodies.read(Place(0, 0, "wh_1", "evt_1"))
