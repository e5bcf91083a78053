"""What the calls about API keys and the audit log take and answer. Unknown fields are refused."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from services.gateway.auth import ROLES, SCOPES
from services.gateway.schemas import OVERLAP_S_DEFAULT, OVERLAP_S_MAX, Time
from shared.models.audit import ActorKind, Outcome

NAME_LENGTH_MAX: Final = 200

KeyName = Annotated[
    str,
    Meta(
        description="For people.",
        examples=["checkout, production"],
        extra_json_schema={"minLength": 1, "maxLength": NAME_LENGTH_MAX},
    ),
]
KeyScopes = Annotated[
    list[str],
    Meta(
        description="What the key may do, one by one; instead of a role.",
        examples=[["events:write"]],
        extra_json_schema={
            "minItems": 1,
            "items": {"type": "string", "enum": list(SCOPES)},
        },
    ),
]
KeyRole = Annotated[
    str,
    Meta(
        description="What the key may do, by name; it follows the role.",
        examples=["viewer"],
        extra_json_schema={"enum": [*ROLES, None]},  # null where the field may be null
    ),
]
Expiry = Annotated[
    str,
    Meta(description="RFC 3339, in the future.", examples=["2099-01-01T00:00:00.000Z"]),
]
Prefix = Annotated[
    str, Meta(description="How the key begins, to tell it apart.", examples=["hk_kl-ng"])
]


class CreateApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to make: with a role, or with scopes."""

    name: KeyName
    role: KeyRole | None = None
    scopes: KeyScopes | None = None
    expires_at: Expiry | None = None


class UpdateApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes of a key; what is absent stays. A role takes the place of scopes, and scopes its."""

    name: KeyName | UnsetType = UNSET
    role: KeyRole | UnsetType = UNSET
    scopes: KeyScopes | UnsetType = UNSET
    expires_at: (
        Annotated[str | None, Meta(description="`null`: it does not expire.")] | UnsetType
    ) = UNSET


class RotateApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to rotate a key."""

    overlap_s: Annotated[
        int,
        Meta(
            description="For how many seconds the old secret opens too: 0 to 604800 (7 days).",
            examples=[OVERLAP_S_DEFAULT],
            extra_json_schema={"minimum": 0, "maximum": OVERLAP_S_MAX},
        ),
    ] = OVERLAP_S_DEFAULT


class EarlierApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A secret that a rotation has replaced and that opens until ``valid_until``."""

    prefix: Prefix
    valid_until: Time


class ApiKeyShown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An API key. ``last_used_at`` is up to two minutes behind; ``expired`` ones open nothing."""

    id: Annotated[str, Meta(examples=["key_0195998a8b00a1b2c3d4e5f60718293a"])]
    name: str
    prefix: Prefix
    role: str | None = None
    scopes: Annotated[list[str], Meta(description="What it may do: those of its role, or its own.")]
    created_at: Time
    expires_at: Time | None = None
    expired: bool = False
    last_used_at: Time | None = None
    earlier: list[EarlierApiKey] = []


class ApiKeyMade(ApiKeyShown, frozen=True, kw_only=True, omit_defaults=True):
    """An API key with its secret, which no other answer has."""

    key: Annotated[str, Meta(examples=["hk_kl-ngoMTmg3eYbxT1PqQ8yq0Zr8W2aV5bC7dE9fGhI"])]


class ApiKeyList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of API keys, newest first; ``next_cursor`` is absent on the last one."""

    data: list[ApiKeyShown]
    next_cursor: str | None = None


class AuditActor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who acted: an API key by its id and prefix, a token by its subject, an operator."""

    type: ActorKind
    id: str | None = None
    prefix: str | None = None


class AuditChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A field that was changed; the values are absent where they are secret, or long."""

    field: str
    before: Annotated[Any, Meta(description="The value before, null for none.")] = UNSET
    after: Annotated[Any, Meta(description="The value after, null for none.")] = UNSET


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of the audit log."""

    id: Annotated[str, Meta(examples=["aud_0195998a8b00a1b2c3d4e5f60718293a"])]
    time: Time
    actor: AuditActor
    action: Annotated[str, Meta(examples=["webhook.update"])]
    object: Annotated[str | None, Meta(description="The id or name of what it is about.")] = None
    changes: list[AuditChange]
    outcome: Annotated[
        Outcome,
        Meta(
            description="`refused`: nothing was changed. `failed`: the answer was 5xx, and "
            "`unknown`: there was none; the change may have been made. `repeated`: the answer was "
            "given again under its Idempotency-Key."
        ),
    ]
    status: Annotated[int | None, Meta(description="Of the answer.", examples=[200])] = None
    request_id: str | None = None
    source_address: str | None = None


class AuditEntryList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of the audit log, newest first; ``next_cursor`` is absent on the last one."""

    data: list[AuditEntry]
    next_cursor: str | None = None
