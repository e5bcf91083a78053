"""What the operator's calls take and answer. Unknown fields are refused."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from services.gateway.schemas import Time
from shared.models.deletions import DeletionState
from shared.models.management import WorkspaceStanding

NAME_LENGTH_MAX: Final = 200
COUNT_MAX: Final = 1_000_000_000_000
_AMOUNT: Final = {"minimum": 1, "maximum": COUNT_MAX}

RequestsPerSecond = Annotated[
    int | None, Meta(description="Calls of the API in a second.", extra_json_schema=_AMOUNT)
]
EventsPerSecond = Annotated[
    int | None,
    Meta(description="Events published over HTTP in a second.", extra_json_schema=_AMOUNT),
]
EventsPerDay = Annotated[
    int | None,
    Meta(description="Events published over HTTP in a day of UTC.", extra_json_schema=_AMOUNT),
]
EventsPerMonth = Annotated[
    int | None,
    Meta(description="Events published over HTTP in a month of UTC.", extra_json_schema=_AMOUNT),
]
Webhooks = Annotated[int | None, Meta(description="Webhooks.", extra_json_schema=_AMOUNT)]
ApiKeys = Annotated[int | None, Meta(description="API keys.", extra_json_schema=_AMOUNT)]
EventTypes = Annotated[
    int | None, Meta(description="Event types of its own.", extra_json_schema=_AMOUNT)
]
WorkspaceId = Annotated[str, Meta(examples=["ws_0195998a8b00a1b2c3d4e5f60718293a"])]
WorkspaceName = Annotated[
    str,
    Meta(
        description="For people.",
        examples=["Acme"],
        extra_json_schema={"minLength": 1, "maxLength": NAME_LENGTH_MAX},
    ),
]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of a workspace. As a change: what is absent stays, null takes a limit away."""

    requests_per_second: RequestsPerSecond | UnsetType = UNSET
    events_per_second: EventsPerSecond | UnsetType = UNSET
    events_per_day: EventsPerDay | UnsetType = UNSET
    events_per_month: EventsPerMonth | UnsetType = UNSET
    webhooks: Webhooks | UnsetType = UNSET
    api_keys: ApiKeys | UnsetType = UNSET
    event_types: EventTypes | UnsetType = UNSET


class ShownLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The limits that a workspace has; what is absent is not limited."""

    requests_per_second: RequestsPerSecond = None
    events_per_second: EventsPerSecond = None
    events_per_day: EventsPerDay = None
    events_per_month: EventsPerMonth = None
    webhooks: Webhooks = None
    api_keys: ApiKeys = None
    event_types: EventTypes = None


class CreateWorkspace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A workspace to make."""

    name: WorkspaceName
    profile: Annotated[
        str,
        Meta(
            description="What its webhooks look like: `qr3`, `xqr`, `standard` or one of the "
            "deployment's own. It never changes.",
            examples=["standard"],
        ),
    ]
    id: Annotated[
        str | None,
        Meta(
            description="`ws_` and 1 to 64 letters, digits, `_` and `-`; generated when absent.",
            examples=["ws_acme"],
            extra_json_schema={"pattern": "^ws_[0-9A-Za-z_-]{1,64}$"},
        ),
    ] = None
    limits: Limits | None = None


class UpdateWorkspace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a workspace."""

    name: WorkspaceName | UnsetType = UNSET
    limits: Annotated[
        Limits | UnsetType | None, Meta(description="Merged one by one; null takes all away.")
    ] = UNSET


class ShownWorkspace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A workspace, as the operator sees it."""

    id: WorkspaceId
    name: WorkspaceName
    profile: str
    state: WorkspaceStanding
    limits: ShownLimits
    created_at: Time
    updated_at: Time | UnsetType = UNSET
    suspended_at: Time | UnsetType = UNSET


class CreatedWorkspace(ShownWorkspace, frozen=True, kw_only=True, omit_defaults=True):
    """A new workspace, and a first API key with every scope: shown this once."""

    api_key: Annotated[str, Meta(examples=["hk_…"])]


class WorkspaceList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of workspaces; ``next_cursor`` is absent on the last one."""

    data: list[ShownWorkspace]
    next_cursor: str | None = None


class ShownDeletion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far the deletion of a workspace is."""

    workspace_id: WorkspaceId
    state: Annotated[
        DeletionState,
        Meta(
            description="`running`; `waiting`: all is deleted, and it looks again when what was on "
            "its way has ended; `done`."
        ),
    ]
    deleted: Annotated[
        dict[str, int],
        Meta(description="How many things went, by kind.", examples=[{"webhooks": 2}]),
    ]
    requested_at: Time
    looks_again_at: Time | UnsetType = UNSET
    finished_at: Time | UnsetType = UNSET
    kafka_until: Annotated[
        dict[str, str],
        Meta(
            description="What it cannot delete: Kafka holds events and deliveries until the "
            "retention of their topic ends, at the latest at these times."
        ),
    ]


class NewWorkspaceKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API key to make."""

    name: Annotated[
        str, Meta(description="For people.", extra_json_schema={"maxLength": NAME_LENGTH_MAX})
    ] = ""
    scopes: Annotated[
        list[str] | None,
        Meta(description="All when absent.", examples=[["events:write"]]),
    ] = None


class WorkspaceKey(msgspec.Struct, frozen=True, kw_only=True):
    """A new API key: shown this once. ``hint`` is its beginning, by which it is revoked."""

    api_key: Annotated[str, Meta(examples=["hk_…"])]
    hint: Annotated[str, Meta(examples=["hk_Zr3x9"])]
    name: str
    scopes: list[str]
