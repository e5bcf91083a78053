"""``python -m services.gateway.admin``: workspaces and credentials, for operators.

Reads the same environment as the gateway. What it prints on standard output is JSON, one object;
an API key is shown this once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

import msgspec

from services.gateway.auth import SCOPES
from services.gateway.handlers import accounts
from services.gateway.wiring import Parts, open_parts
from shared.config import load
from shared.models.errors import HooklaneError


async def create_workspace(parts: Parts, given: argparse.Namespace) -> dict[str, object]:
    """Create a workspace with a first API key that has every scope."""
    workspace = await accounts.create_workspace(parts.ports, profile=given.profile, name=given.name)
    key = await accounts.create_api_key(parts.ports, workspace_id=workspace.id, name="first")
    return {"id": workspace.id, "profile": workspace.profile, "api_key": key}


async def create_key(parts: Parts, given: argparse.Namespace) -> dict[str, object]:
    """Create another API key of a workspace."""
    key = await accounts.create_api_key(
        parts.ports,
        workspace_id=given.workspace,
        scopes=given.scope or tuple(SCOPES),
        name=given.name,
    )
    return {"api_key": key}


async def revoke_key(parts: Parts, given: argparse.Namespace) -> dict[str, object]:
    """Revoke the keys of a workspace that begin with a hint."""
    revoked = await accounts.revoke_api_key(
        parts.ports, workspace_id=given.workspace, hint=given.hint
    )
    return {"revoked": revoked}


async def issue_jwt(parts: Parts, given: argparse.Namespace) -> dict[str, object]:
    """Issue a token for a workspace."""
    token = await accounts.issue_jwt(
        parts.ports,
        parts.jwt_policy,
        workspace_id=given.workspace,
        scopes=given.scope or None,
        valid_s=given.valid_s,
    )
    return {"jwt": token}


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    root = argparse.ArgumentParser(prog="hooklane-admin", description="Workspaces and credentials")
    commands = root.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("create-workspace", help="a workspace and its first API key")
    command.add_argument("--profile", required=True, help="qr3, xqr, standard or one of your own")
    command.add_argument("--name", required=True)
    command.set_defaults(run=create_workspace)

    command = commands.add_parser("create-key", help="another API key")
    command.add_argument("--workspace", required=True, metavar="ws_…")
    command.add_argument("--name", default="")
    command.add_argument("--scope", action="append", choices=tuple(SCOPES), help="default: all")
    command.set_defaults(run=create_key)

    command = commands.add_parser("revoke-key", help="revoke an API key")
    command.add_argument("--workspace", required=True, metavar="ws_…")
    command.add_argument("--hint", required=True, help="the key's first eight characters")
    command.set_defaults(run=revoke_key)

    command = commands.add_parser("issue-jwt", help="a token as a dashboard would issue it")
    command.add_argument("--workspace", required=True, metavar="ws_…")
    command.add_argument("--scope", action="append", choices=tuple(SCOPES), help="default: all")
    command.add_argument("--valid-s", type=int, default=accounts.JWT_VALID_S)
    command.set_defaults(run=issue_jwt)
    return root


async def perform(given: argparse.Namespace) -> dict[str, object]:
    """Run one command against the environment's deployment; raises HooklaneError."""
    async with open_parts(load(os.environ)) as parts:
        result: dict[str, object] = await given.run(parts, given)
        return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    given = parser().parse_args(arguments)
    try:
        result = asyncio.run(perform(given))
    except HooklaneError as error:
        sys.exit(f"hooklane-admin: {error}")
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")


if __name__ == "__main__":
    main()
