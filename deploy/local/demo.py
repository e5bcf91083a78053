"""The three demo workspaces, one for each built-in profile, made once for a state folder.

API keys are stored as digests only, so what a person needs to try things out is kept beside the
state, in `demo.json`, readable by its owner only. A token for XQR's developer calls is made anew at
each start, as tokens expire.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.local.files import write_private
from services.gateway.handlers.accounts import create_api_key, create_workspace, issue_jwt
from services.gateway.ports import Ports
from services.gateway.wiring import open_parts
from shared.config import Settings
from shared.models.errors import Outage
from shared.models.management import Workspace

PROFILES: Final = ("qr3", "xqr", "standard")
TOKEN_VALID_S: Final = 7 * 24 * 3600
RETRY_AFTER_S: Final = 0.3

Accounts = Mapping[str, Mapping[str, str]]


async def seed(settings: Settings, state_dir: Path) -> Accounts:
    """Return ids and credentials of the demo workspaces; makes those that are missing."""
    path = state_dir / "demo.json"
    accounts: dict[str, dict[str, str]] = {}
    if path.exists():
        accounts = json.loads(path.read_text(encoding="utf-8"))
    async with open_parts(settings) as parts:
        for profile in PROFILES:
            if profile not in accounts:
                made = await _workspace(parts.ports, profile)
                key = await create_api_key(parts.ports, workspace_id=made.id, name="demo")
                accounts[profile] = {"id": made.id, "api_key": key}
        accounts["xqr"]["jwt"] = await issue_jwt(
            parts.ports,
            parts.jwt_policy,
            workspace_id=accounts["xqr"]["id"],
            valid_s=TOKEN_VALID_S,
        )
    write_private(path, accounts)
    return accounts


async def _workspace(ports: Ports, profile: str) -> Workspace:
    """Make a workspace, however long the servers take to settle: they have only just started.

    An Outage means that there is none and the call may be repeated; `Stack.start` is cancelled by
    whoever does not want to wait.
    """
    while True:
        try:
            return await create_workspace(ports, profile=profile, name=f"Demo {profile}")
        except Outage:
            await asyncio.sleep(RETRY_AFTER_S)
