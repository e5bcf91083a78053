"""How many things a workspace may have: looked at before one more is made. Pure.

Things are counted, not reserved: of two that are made at the same moment both may get in.
"""

from __future__ import annotations

from services.gateway.errors import LimitReached
from shared.models.limits import WorkspaceLimits


def check_room(limits: WorkspaceLimits, limit: str, have: int) -> None:
    """Raise LimitReached if a workspace that has ``have`` things may not have one more."""
    allowed: int | None = getattr(limits, limit)
    if allowed is not None and have >= allowed:
        words = limit.replace("_", " ")
        raise LimitReached(
            f"this workspace may have {allowed} {words}, and has {have}: delete one that is not "
            "needed, or ask the operator of this deployment for more",
            limit=limit,
        )
