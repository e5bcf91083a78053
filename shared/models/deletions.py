"""Deleting a workspace: a job that a gateway works at, and another one goes on with if it dies.

Everything that belongs to the workspace is deleted piece by piece, so any piece may be deleted
again. What was on its way meanwhile can leave something behind (a delivery that waits in a retry
tier is discarded, which is a row of the log), so when all is deleted the job waits until nothing
can be on its way any more, and looks again. Times are Unix milliseconds.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

HELD_MS: Final = 30_000
"""For how long a gateway that works at it keeps it from the others."""

DeletionState = Literal["running", "waiting", "done"]


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """The deletion of one workspace. ``deleted`` counts what went, by kind.

    ``waiting``: all is deleted, and it looks again at ``due_ms``. While it is worked at, ``due_ms``
    is when another gateway may take it over from its ``holder``.
    """

    workspace_id: str
    requested_ms: int
    state: DeletionState = "running"
    deleted: dict[str, int] = {}
    finished_ms: int | None = None
    holder: str = ""
    due_ms: int = 0
