"""``python -m services.gateway.admin``: workspaces and credentials, for operators.

Reads the same environment as the gateway. What it prints on standard output is JSON, one object;
an API key is shown this once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from services.gateway.audit import Trail, masked
from services.gateway.auditing import new_entry, settled
from services.gateway.auth import ROLES, SCOPES, digest_of
from services.gateway.handlers import accounts
from services.gateway.wiring import Parts, open_parts
from shared.config import load
from shared.models.audit import Actor
from shared.models.errors import HooklaneError, Misuse

T = TypeVar("T")


async def create_workspace(parts: Parts, given: argparse.Namespace) -> dict[str, object]:
    """Create a workspace with a first API key, which is an admin's."""
    workspace = await accounts.create_workspace(parts.ports, profile=given.profile, name=given.name)
    key = await accounts.create_api_key(parts.ports, workspace_id=workspace.id, name="first")
    return {"id": workspace.id, "profile": workspace.profile, "api_key": key}


async def create_key(parts: Parts, given: argparse.Namespace) -> dict[str, object]:
    """Create another API key of a workspace."""

    async def create(trail: Trail) -> str:
        key = await accounts.create_api_key(
            parts.ports,
            workspace_id=given.workspace,
            scopes=given.scope,
            role=given.role,
            name=given.name,
        )
        trail.changed(None, await parts.ports.api_keys.find(digest_of(key)))
        return key

    return {"api_key": await _recorded(parts, given, "api_key.create", create)}


async def revoke_key(parts: Parts, given: argparse.Namespace) -> dict[str, object]:
    """Revoke the keys of a workspace that begin with a hint."""

    async def revoke(trail: Trail) -> int:
        trail.object_id = given.hint
        return await accounts.revoke_api_key(
            parts.ports, workspace_id=given.workspace, hint=given.hint
        )

    return {"revoked": await _recorded(parts, given, "api_key.revoke", revoke)}


async def issue_jwt(parts: Parts, given: argparse.Namespace) -> dict[str, object]:
    """Issue a token for a workspace."""

    async def issue(_: Trail) -> str:
        return await accounts.issue_jwt(
            parts.ports,
            parts.jwt_policy,
            workspace_id=given.workspace,
            scopes=given.scope,
            valid_s=given.valid_s,
        )

    return {"jwt": await _recorded(parts, given, "token.issue", issue)}


async def _recorded(
    parts: Parts,
    given: argparse.Namespace,
    action: str,
    perform: Callable[[Trail], Awaitable[T]],
) -> T:
    """Return what ``perform`` returns, with an entry in the workspace's audit log around it."""
    trail, outcome = Trail(), "failed"
    entry = new_entry(
        parts.ports,
        workspace_id=given.workspace,
        actor=Actor(kind="operator"),
        action=action,
    )
    await parts.ports.audit.begin(entry)
    try:
        result = await perform(trail)
        outcome = "succeeded"
    except Misuse:
        outcome = "refused"
        raise
    finally:
        told = replace(entry, outcome=outcome, object_id=trail.object_id, changes=trail.changes)
        await settled(parts.ports, masked(told))
    return result


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
    command.add_argument("--role", choices=tuple(ROLES), default="admin", help="default: admin")
    command.add_argument(
        "--scope", action="append", choices=tuple(SCOPES), help="instead of a role"
    )
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
