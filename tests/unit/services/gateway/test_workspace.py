"""A workspace's settings: what is absent stays, and nothing beyond what the deployment gives."""

from __future__ import annotations

import msgspec
import pytest

from services.gateway.handlers import workspace
from services.gateway.ports import Ports
from services.gateway.workspace_schemas import UpdateSettings
from shared.models.errors import Invalid, NotFound
from shared.models.management import Workspace
from tests.unit.services.gateway import fakes


@pytest.fixture
async def ports() -> Ports:
    given = fakes.ports()
    await given.workspaces.create(Workspace(id="ws_a", name="a", profile="qr3", created_ms=1))
    return given


async def retention(ports: Ports, body: bytes) -> int:
    wanted = msgspec.json.decode(body, type=UpdateSettings)
    changed = await workspace.change(ports, fakes.caller(), wanted)
    assert changed == await workspace.get(ports, fakes.caller())
    return workspace.retention_days(ports, changed)


async def test_retention_is_set_stays_and_is_the_deployments_again(ports: Ports) -> None:
    assert await retention(ports, b"{}") == 30
    assert await retention(ports, b'{"retention_days": 7}') == 7
    assert await retention(ports, b"{}") == 7
    assert await retention(ports, b'{"retention_days": null}') == 30
    assert await retention(ports, b'{"retention_days": 30}') == 30


async def test_more_than_the_deployment_keeps_is_refused_and_says_how_much_that_is(
    ports: Ports,
) -> None:
    with pytest.raises(Invalid, match="is 31; this deployment keeps the log for 30 days") as caught:
        await retention(ports, b'{"retention_days": 31}')

    assert caught.value.field == "retention_days"
    assert await retention(ports, b"{}") == 30


async def test_a_deployment_that_keeps_the_log_for_less_from_now_on_has_the_last_word(
    ports: Ports,
) -> None:
    await retention(ports, b'{"retention_days": 20}')
    less = msgspec.structs.replace(ports, retention_days=10)

    assert await retention(less, b"{}") == 10


async def test_a_workspace_that_was_withdrawn_has_no_settings() -> None:
    with pytest.raises(NotFound):
        await workspace.get(fakes.ports(), fakes.caller())
