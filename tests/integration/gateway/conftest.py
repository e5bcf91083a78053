"""A gateway over the real Kafka and MongoDB, with names of its own for each test."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest
from httpx import ASGITransport, AsyncClient

from services.gateway.app import create_app
from services.gateway.auth import Authenticator, digest_of
from services.gateway.handlers import accounts
from services.gateway.routes.health import Checks
from services.gateway.wiring import Parts, open_parts
from shared.config import Settings
from shared.kafka.admin import create_topics
from shared.storage.mongo.indexes import ensure_indexes
from tests.support.servers import KafkaServer, MongoServer, fresh_name

JWT_SECRET = "a-secret-of-the-tests-with-over-32-bytes"
OPERATOR_KEY = "the-operators-key"
OPERATOR = {"Authorization": f"Bearer {OPERATOR_KEY}"}


class Tenant(NamedTuple):
    """A workspace with its credentials."""

    id: str
    api_key: str
    jwt: str

    @property
    def key(self) -> dict[str, str]:
        """Return the headers that carry the API key."""
        return {"Authorization": f"Bearer {self.api_key}"}

    @property
    def token(self) -> dict[str, str]:
        """Return the headers that carry the token."""
        return {"Authorization": f"Bearer {self.jwt}"}


class Gateway(NamedTuple):
    """A gateway in this process."""

    client: AsyncClient
    parts: Parts
    settings: Settings


MakeTenant = Callable[[str], Awaitable[Tenant]]


@pytest.fixture
def settings(kafka_server: KafkaServer, mongo_server: MongoServer) -> Settings:
    return Settings(
        **kafka_server.settings,
        topic_prefix=fresh_name("gw") + ".",
        partitions=2,
        mongo_uri=mongo_server.uri,
        mongo_database=fresh_name("gateway"),
        secret_keys="k1:" + base64.b64encode(b"k" * 32).decode(),
        jwt_secret=JWT_SECRET,
        operator_key_sha256=digest_of(OPERATOR_KEY),
        retry_tiers="5s,1m,5m,30m,2h,5h,10h,14h,20h,24h",
    )


def client_of(parts: Parts) -> AsyncClient:
    """Return a client of a gateway over these parts."""
    app = create_app(
        ports=parts.ports,
        authenticator=Authenticator(parts.ports, parts.jwt_policy, parts.provider),
        checks=Checks(kafka=parts.reader.ping, mongodb=parts.mongo.ping),
        operator_key_sha256=digest_of(OPERATOR_KEY),
    )
    transport = ASGITransport(app)  # type: ignore[arg-type]
    return AsyncClient(transport=transport, base_url="http://gateway")


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[Gateway]:
    await create_topics(settings)
    async with open_parts(settings) as parts:
        await ensure_indexes(parts.mongo)
        async with client_of(parts) as client:
            yield Gateway(client, parts, settings)


@pytest.fixture
def make_tenant(gateway: Gateway) -> MakeTenant:
    async def make(profile: str) -> Tenant:
        ports = gateway.parts.ports
        workspace = await accounts.create_workspace(ports, profile=profile, name="test")
        return Tenant(
            workspace.id,
            await accounts.create_api_key(ports, workspace_id=workspace.id),
            await accounts.issue_jwt(
                ports, gateway.parts.jwt_policy, workspace_id=workspace.id, valid_s=3_600
            ),
        )

    return make


@pytest.fixture
async def qr3(make_tenant: MakeTenant) -> Tenant:
    return await make_tenant("qr3")


@pytest.fixture
async def xqr(make_tenant: MakeTenant) -> Tenant:
    return await make_tenant("xqr")
