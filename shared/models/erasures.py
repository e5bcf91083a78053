"""What is known of an event whose payload somebody had erased. Pure."""

from __future__ import annotations

import msgspec


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """Mark that an event of a workspace is erased, and when that was (Unix milliseconds)."""

    workspace_id: str
    event_id: str
    erased_ms: int
