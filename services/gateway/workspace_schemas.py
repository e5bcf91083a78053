"""What callers say and are told of their own workspace. Pure."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from services.gateway.schemas import Time


class WorkspaceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace and its settings."""

    id: Annotated[str, Meta(examples=["ws_0195998a8b00a1b2c3d4e5f60718293a"])]
    name: str
    profile: str
    created_at: Time
    retention_days: Annotated[
        int, Meta(description="For how many days a new row of the delivery log is kept.")
    ]
    retention_days_max: Annotated[
        int, Meta(description="The deployment's own, which holds where none was set.")
    ]


class UpdateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes of the settings; what is absent stays."""

    retention_days: (
        Annotated[int, Meta(ge=1, description="Up to `retention_days_max`; `null` for that one.")]
        | UnsetType
        | None
    ) = UNSET
