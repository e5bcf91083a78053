"""A MongoDB with TLS and logins: who gets in, and what is said of who does not.

The embedded server knows SCRAM-SHA-256 and certificates of clients, but no roles.
"""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from shared.models.errors import Outage
from shared.seldom import Seldom
from shared.storage.mongo import client
from shared.storage.mongo.client import Mongo
from tests.support.certificates import Authority
from tests.support.secured import SecuredMongo

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(autouse=True)
def nothing_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_seldom", Seldom(client.TELL_EVERY_S))


async def test_a_login_over_tls_writes_and_reads(secured_mongo: SecuredMongo) -> None:
    mongo = Mongo(secured_mongo.uri, "secured")
    await mongo.collection("things").insert_one({"_id": "a"})
    assert await mongo.collection("things").find_one({}) == {"_id": "a"}
    mongo.close()


@pytest.mark.parametrize("login", ["", "suite:wrong-password@", "stranger:wrong-password@"])
async def test_a_login_that_fails_is_an_outage_that_says_so(
    secured_mongo: SecuredMongo, login: str
) -> None:
    mongo = Mongo(secured_mongo.uri_with(login), "secured")
    with (
        capture_logs() as logs,
        pytest.raises(Outage, match="MongoDB refuses us") as raised,
        client.outages(),
    ):
        await mongo.collection("things").find_one({})
    mongo.close()
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("mongodb_refuses", "error")
    assert "HOOKLANE_MONGO_URI" in line["fix"]
    assert "wrong-password" not in f"{line}{raised.value}"


@pytest.mark.usefixtures("hasty_mongo")
async def test_a_server_that_nobody_vouches_for_is_told_of(secured_mongo: SecuredMongo) -> None:
    with Authority.create() as other:
        uri = secured_mongo.uri_with(options=f"tls=true&tlsCAFile={other.file}")
        mongo = Mongo(uri, "secured")
        with capture_logs() as logs, pytest.raises(Outage, match="certificate verify failed"):
            await mongo.ping()
        mongo.close()
    assert [line["event"] for line in logs] == ["mongodb_refuses"]


@pytest.mark.usefixtures("hasty_mongo")
async def test_without_tls_there_is_no_answer(secured_mongo: SecuredMongo) -> None:
    mongo = Mongo(secured_mongo.uri_with(options=""), "secured")
    with pytest.raises(Outage, match="MongoDB does not answer"):
        await mongo.ping()
    mongo.close()
