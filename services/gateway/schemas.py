"""Requests and answers of the API: their fields, in the guides' order, with words for OpenAPI.

Never the stored records: what a caller sees is decided here. Requests refuse unknown fields;
answers leave out what is unset. Pure.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared.models.attempts import Status
from shared.models.endpoints import PayloadFormat
from shared.policy.explaining import Criterion
from shared.signing.asymmetric import Jwk

DESCRIPTION_LENGTH_MAX: Final = 512
EVENTS_MAX: Final = 100
CHANNELS_MAX: Final = 20
METADATA_MAX: Final = 50
METADATA_KEY_LENGTH_MAX: Final = 40
METADATA_VALUE_LENGTH_MAX: Final = 500
RATE_LIMIT_MIN: Final = 0.001  # one delivery in 17 minutes; slower than that is a pause
RATE_LIMIT_MAX: Final = 10_000.0  # more than a worker sends in all
RETRY_DELAYS_MAX: Final = 20
TIMEOUT_MS_MIN: Final = 1_000
TIMEOUT_MS_MAX: Final = 30_000  # a worker that stops waits for what is in flight, not for ever
SUCCESS_CODES_MAX: Final = 20
LIMIT_MAX: Final = 100
LIMIT_DEFAULT: Final = 50
OVERLAP_S_MAX: Final = 7 * 86_400
OVERLAP_S_DEFAULT: Final = 86_400

Url = Annotated[
    str,
    Meta(
        description="Where webhooks are sent: an absolute https URL without credentials.",
        examples=["https://example.com/webhooks/qr3"],
        extra_json_schema={"minLength": 1},
    ),
]
Events = Annotated[
    list[str],
    Meta(
        description="Event types, aliases allowed, patterns such as `qr.*`, or `*` for all. Not "
        "empty.",
        examples=[["qr.scanned", "qr.created"]],
        extra_json_schema={"minItems": 1, "maxItems": EVENTS_MAX},
    ),
]
Description = Annotated[
    str | None,
    Meta(
        description=f"For people; up to {DESCRIPTION_LENGTH_MAX} characters.",
        examples=["Production webhook"],
        extra_json_schema={"maxLength": DESCRIPTION_LENGTH_MAX},
    ),
]
Concurrency = Annotated[
    int | None,
    Meta(
        description="How many requests may be in flight to it at once: 1 to the deployment's "
        "limit. Without it, Hooklane finds out how many it takes.",
        examples=[4],
        extra_json_schema={"minimum": 1},
    ),
]
RateLimit = Annotated[
    float | None,
    Meta(
        description="How many deliveries a second may start: 0.001 to 10,000. Without it, as many "
        "as it takes.",
        examples=[10.0],
        extra_json_schema={"minimum": RATE_LIMIT_MIN, "maximum": RATE_LIMIT_MAX},
    ),
]
_METADATA: Final = Meta(
    description=f"Anything of yours, for finding it again: up to {METADATA_MAX} texts of up to "
    f"{METADATA_VALUE_LENGTH_MAX} characters, under keys of letters, digits, `_` and `-`.",
    examples=[{"team": "billing"}],
)
_HEADERS: Final = Meta(
    description="Headers of your own, sent with every request. Their values are stored encrypted "
    "and shown as `********`.",
    examples=[{"X-Api-Key": "9f86d081884c"}],
)
Metadata = Annotated[dict[str, str] | None, _METADATA]
MetadataPatch = Annotated[dict[str, str | None] | None, _METADATA]
CustomHeaders = Annotated[dict[str, str] | None, _HEADERS]
CustomHeadersPatch = Annotated[dict[str, str | None] | None, _HEADERS]
RetryDelays = Annotated[
    tuple[str, ...] | None,
    Meta(
        description="When to try again after each failed attempt: up to 20 of the deployment's "
        "retry delays, none for a single attempt. Without it, the profile's.",
        examples=[["5s", "1m", "1h"]],
        extra_json_schema={"maxItems": RETRY_DELAYS_MAX},
    ),
]
TimeoutMs = Annotated[
    int | None,
    Meta(
        description="How long an attempt may take in all, in milliseconds: 1,000 to 30,000. "
        "Without it, the profile's.",
        examples=[5_000],
        extra_json_schema={"minimum": TIMEOUT_MS_MIN, "maximum": TIMEOUT_MS_MAX},
    ),
]
SuccessCodes = Annotated[
    tuple[str | int, ...] | None,
    Meta(
        description="Which answers mean that it was received: codes from 200 to 499 (but 410 and "
        "429), or `2xx` or `3xx` for all of a class. Without it, `2xx`.",
        examples=[["2xx", 302]],
        extra_json_schema={"minItems": 1, "maxItems": SUCCESS_CODES_MAX},
    ),
]
PayloadFormatField = Annotated[
    PayloadFormat | None,
    Meta(
        description="What the body looks like: `profile` (the product's own; the default), "
        "`standard` (Standard Webhooks, with its headers and signature; the secret must be "
        "`whsec_` and base64), or `cloudevents` (a structured CloudEvent in JSON).",
        examples=["standard"],
    ),
]
Channels = Annotated[
    tuple[str, ...] | None,
    Meta(
        description=f"Only events that are on one of these channels, up to {CHANNELS_MAX}. Without "
        "it, all events.",
        examples=[["eu", "vip"]],
        extra_json_schema={"maxItems": CHANNELS_MAX},
    ),
]
DataFilter = Annotated[
    dict[str, Any] | None,
    Meta(
        description="Only events whose `data` is as this says: names with values, or with "
        "operators (`$eq $ne $in $nin $gt $gte $lt $lte $exists $startsWith $endsWith`), and `$and "
        "$or $not`. A patch replaces it as a whole.",
        examples=[{"country": {"$in": ["AT", "DE"]}}],
    ),
]
Time = Annotated[
    str, Meta(description="RFC 3339, UTC, milliseconds.", examples=["2026-03-15T10:00:00.000Z"])
]
SignatureVersion = Literal["v1", "v1a"]
NewSecret = Annotated[
    str | None,
    Meta(
        description="The signing secret: 16 to 128 printable characters (with Standard "
        "Webhooks, `whsec_` and base64 of 24 to 64 bytes). Generated when absent.",
        examples=["my-secret-key-min-16-chars"],
    ),
]
PublicKey = Annotated[
    str,
    Meta(
        description="What verifies `v1a`: `whpk_` and base64 of the ed25519 key.",
        examples=["whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="],
    ),
]
EndpointId = Annotated[str, Meta(examples=["wh_0195998a8b00a1b2c3d4e5f60718293a"])]


class CreateWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An endpoint to create."""

    url: Url
    events: Events
    description: Description = None
    secret: NewSecret = None
    signature: Annotated[
        SignatureVersion | None,
        Meta(
            description="With Standard Webhooks: `v1` (HMAC-SHA256, what is used when absent) or "
            "`v1a` (ed25519: the receiver gets a public key, and there is no secret).",
            examples=["v1"],
        ),
    ] = None
    metadata: Metadata = None
    headers: CustomHeaders = None
    concurrency: Concurrency = None
    rate_limit: RateLimit = None
    retry_delays: RetryDelays = None
    timeout_ms: TimeoutMs = None
    success_codes: SuccessCodes = None
    payload_format: PayloadFormatField = None
    channels: Channels = None
    filter: DataFilter = None


class UpdateWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes of an endpoint as JSON merge patch (RFC 7396): absent stays, ``null`` removes."""

    url: Url | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    is_active: (
        Annotated[
            bool,
            Meta(
                description="`true` enables the endpoint again, resets its failure count and ends "
                "a pause; `false` disables it."
            ),
        ]
        | UnsetType
    ) = UNSET
    metadata: MetadataPatch | UnsetType = UNSET
    headers: CustomHeadersPatch | UnsetType = UNSET
    concurrency: Concurrency | UnsetType = UNSET
    rate_limit: RateLimit | UnsetType = UNSET
    retry_delays: RetryDelays | UnsetType = UNSET
    timeout_ms: TimeoutMs | UnsetType = UNSET
    success_codes: SuccessCodes | UnsetType = UNSET
    payload_format: PayloadFormatField | UnsetType = UNSET
    channels: Channels | UnsetType = UNSET
    filter: DataFilter | UnsetType = UNSET


class Webhook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An endpoint. ``secret`` is in the answer to its creation only."""

    id: EndpointId
    url: Url
    events: tuple[str, ...]
    is_active: bool
    secret: str | UnsetType = UNSET
    secret_hint: Annotated[
        str, Meta(description="The secret's first four characters.", examples=["my-s…"])
    ]
    created_at: Time
    description: Description = None
    updated_at: Time | UnsetType = UNSET
    disabled_reason: Annotated[
        str | None,
        Meta(
            description="Why Hooklane disabled it: `consecutive_failures`, or `gone` (HTTP 410).",
            examples=["consecutive_failures"],
        ),
    ] = None
    consecutive_failures: Annotated[
        int | UnsetType, Meta(description="Failed attempts in a row since the last success.")
    ] = UNSET
    paused_at: Annotated[
        Time | None, Meta(description="Since when it is paused; absent where it is not.")
    ] = None
    metadata: Annotated[dict[str, str], _METADATA] = {}
    headers: Annotated[dict[str, str], _HEADERS] = {}
    concurrency: Concurrency = None
    rate_limit: RateLimit = None
    retry_delays: RetryDelays = None
    timeout_ms: TimeoutMs = None
    success_codes: SuccessCodes = None
    payload_format: PayloadFormat = "profile"
    channels: tuple[str, ...] = ()
    filter: DataFilter = None
    signature: Annotated[
        Literal["v1a"] | UnsetType, Meta(description="`v1a` where it signs with ed25519.")
    ] = UNSET
    public_key: PublicKey | UnsetType = UNSET


class WebhookList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of endpoints, newest first; ``next_cursor`` is absent on the last one."""

    data: list[Webhook]
    next_cursor: str | None = None


class RotateSecret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to replace a signing secret."""

    overlap_s: Annotated[
        int,
        Meta(
            description="For how many seconds the earlier secret signs besides: 0 to 604800 "
            "(7 days). No earlier secret signs for longer than this from now on; 0 leaves the new "
            "one only.",
            examples=[OVERLAP_S_DEFAULT],
            extra_json_schema={"minimum": 0, "maximum": OVERLAP_S_MAX},
        ),
    ] = OVERLAP_S_DEFAULT
    secret: NewSecret = None
    signature: Annotated[
        SignatureVersion | None,
        Meta(
            description="With Standard Webhooks: what to sign with from now on, `v1` (HMAC-SHA256) "
            "or `v1a` (ed25519). As before when absent.",
            examples=["v1"],
        ),
    ] = None


class EarlierSecret(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A secret that was replaced and still signs, until ``signs_until``.

    ``secret`` is in the answer to the secret call only, and never for a key pair.
    """

    secret: str | UnsetType = UNSET
    public_key: PublicKey | UnsetType = UNSET
    secret_hint: Annotated[str, Meta(examples=["my-s…"])]
    signs_until: Time


class Secret(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A signing secret, or with ``v1a`` the public key, and what still signs besides."""

    secret: str | UnsetType = UNSET
    public_key: PublicKey | UnsetType = UNSET
    earlier_secrets: list[EarlierSecret] = []


class KeySet(msgspec.Struct, frozen=True):
    """Public keys as a JSON Web Key Set (RFC 7517)."""

    keys: list[Jwk]


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt to deliver an event, as lists show it; ``created_at`` is when it was due."""

    id: Annotated[str, Meta(examples=["whd_0195998a8b00a1b2c3d4e5f60718293a"])]
    event_type: Annotated[str, Meta(examples=["qr.scanned"])]
    status: Status
    status_code: int | None
    response_time_ms: int | None
    attempt: int
    created_at: Time
    event_id: str
    trigger: Annotated[str, Meta(examples=["event", "ping"])]
    error: str | None = None
    reason: str | None = None
    next_attempt_at: Time | None = None


class DeliveryList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of the delivery log, newest first; ``next_cursor`` is absent on the last one."""

    data: list[Delivery]
    next_cursor: str | None = None


BodyEncoding = Annotated[
    Literal["utf-8", "base64"], Meta(description="How `body` holds the bytes.")
]
HeaderList = Annotated[
    list[tuple[str, str]], Meta(description="Names and values, in the order on the wire.")
]


class SentRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The request as sent. ``body`` is null, with ``body_unavailable``, once Kafka dropped it."""

    url: str | None
    address: str | None = None
    headers: HeaderList
    body: str | None
    body_encoding: BodyEncoding | None = None
    body_unavailable: str | None = None


class ReceivedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The response as received; the body is cut at the deployment's limit."""

    status_code: int
    headers: HeaderList
    body: str
    body_encoding: BodyEncoding
    body_truncated: bool


class DeliveryDetail(Delivery, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt with everything that is known of it; ``response`` is null when none came."""

    started_at: Time
    final: Annotated[bool, Meta(description="Whether nothing follows from this attempt.")]
    error_message: str | None = None
    request: SentRequest
    response: ReceivedResponse | None
    timing_ms: dict[str, float]
    erased_at: Annotated[
        Time | None, Meta(description="When the event's payload was erased, if it was.")
    ] = None


class Ping(msgspec.Struct, frozen=True, kw_only=True):
    """A test event on its way."""

    id: Annotated[str, Meta(examples=["evt_0195998a8b00a1b2c3d4e5f60718293a"])]
    type: Annotated[str, Meta(examples=["webhook.ping"])]
    webhook_id: EndpointId
    created_at: Time


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an event would be delivered: if every criterion matches."""

    matches: bool
    criteria: list[Criterion]


class Dependencies(msgspec.Struct, frozen=True):
    """Whether what the gateway depends on answers: ``up`` or ``down``."""

    kafka: Literal["up", "down"]
    mongodb: Literal["up", "down"]


class Readiness(msgspec.Struct, frozen=True):
    """``ready``; ``degraded``: events are accepted, the rest answers 503; ``not ready``."""

    status: Literal["ready", "degraded", "not ready"]
    dependencies: Dependencies


class Liveness(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["live"] = "live"
