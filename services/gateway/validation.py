"""What an endpoint may be: URL, events, secret, description, metadata, settings. Pure.

Each check returns the fix in words, or None; all fields are checked, so that a caller sees
everything that is wrong at once.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from services.gateway import custom_headers, delivery_settings
from services.gateway.delivery_settings import Limits
from services.gateway.errors import FieldError, InvalidFields
from services.gateway.schemas import (
    CHANNELS_MAX,
    DESCRIPTION_LENGTH_MAX,
    EVENTS_MAX,
    METADATA_KEY_LENGTH_MAX,
    METADATA_MAX,
    METADATA_VALUE_LENGTH_MAX,
    OVERLAP_S_MAX,
    CreateWebhook,
    RotateSecret,
    SignatureVersion,
    UpdateWebhook,
)
from shared.models.endpoints import PayloadFormat
from shared.models.events import CHANNEL_LENGTH_MAX, is_channel
from shared.models.management import Endpoint
from shared.policy.addresses import EgressPolicy, UrlRefused, blocked, parse_url
from shared.policy.filters import FilterError, compile_filter
from shared.profiles.formats import in_format
from shared.profiles.profile import ALL_EVENTS, Profile, Signature
from shared.signing import asymmetric
from shared.signing.schemes import fits, standard_key

SECRET_ENTROPY_BYTES: Final = 32
HINT_CHARACTERS: Final = 4
_METADATA_KEY: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{METADATA_KEY_LENGTH_MAX}}}")


def url_problem(url: str, policy: EgressPolicy) -> str | None:
    """Return why no webhook may go to ``url``. Names are resolved at delivery, not here."""
    try:
        target = parse_url(url, policy)
    except UrlRefused as refused:
        return refused.reason
    if target.literal is None:
        return None
    reason = blocked(target.literal, policy)
    if reason is None:
        return None
    return f"{target.literal} may not be called ({reason}); use a public address"


def event_errors(events: Sequence[str], profile: Profile) -> Iterable[FieldError]:
    """Yield what is wrong with a list of subscribed event types."""
    if not events:
        yield FieldError("events", f"is empty; name event types, or {ALL_EVENTS!r} for all")
    if len(events) > EVENTS_MAX:
        yield FieldError("events", f"has {len(events)} items; {EVENTS_MAX} are allowed")
        return
    for index, name in enumerate(events):
        reason = profile.subscription_problem(name)
        if reason is not None:
            yield FieldError(f"events[{index}]", reason)


def secret_problem(secret: str, signature: Signature) -> str | None:
    """Return why ``secret`` cannot sign webhooks of this scheme."""
    if signature.scheme == "standard-webhooks":
        return _standard_secret_problem(secret, signature.secret_prefix)
    if secret.startswith(asymmetric.PRIVATE_PREFIX):
        return f"must not begin with {asymmetric.PRIVATE_PREFIX!r}: that marks ed25519 keys"
    shortest, longest = signature.secret_length_min, signature.secret_length_max
    if not shortest <= len(secret) <= longest:
        return f"has {len(secret)} characters; {shortest} to {longest} are needed"
    if not secret.isprintable():
        return "has characters that do not print; use printable ones"
    return None


def _standard_secret_problem(secret: str, prefix: str) -> str | None:
    if not secret.startswith(prefix):
        return f"must begin with {prefix!r}"
    try:
        standard_key(secret, prefix)
    except ValueError as error:
        return str(error)
    return None


def signing_errors(
    version: SignatureVersion | None, secret: str | None, profile: Profile
) -> Iterable[FieldError]:
    """Yield what is wrong with a choice of signature (None: as the profile has it) and secret."""
    if secret is not None:
        problem = secret_problem(secret, profile.signature)
        if problem is not None:
            yield FieldError("secret", problem)
    if version is not None and profile.signature.scheme != "standard-webhooks":
        yield FieldError(
            "signature",
            f"is for Standard Webhooks; this webhook is signed in one way only "
            f"({profile.signature.header}): leave it out",
        )
    elif version == "v1a" and secret is not None:
        yield FieldError(
            "secret", "cannot be given for 'v1a': its keys are generated; leave it out, or use 'v1'"
        )


def overlap_problem(overlap_s: int) -> str | None:
    """Return why an overlap cannot be this long."""
    if 0 <= overlap_s <= OVERLAP_S_MAX:
        return None
    return f"is {overlap_s}; 0 to {OVERLAP_S_MAX} seconds (7 days) are allowed"


def description_problem(description: str) -> str | None:
    """Return why ``description`` cannot be stored."""
    if len(description) > DESCRIPTION_LENGTH_MAX:
        return f"has {len(description)} characters; {DESCRIPTION_LENGTH_MAX} are allowed"
    return None


def channel_errors(channels: Sequence[str]) -> Iterable[FieldError]:
    """Yield what is wrong with a list of channels; an empty one stands for all."""
    if len(channels) > CHANNELS_MAX:
        yield FieldError("channels", f"has {len(channels)} items; {CHANNELS_MAX} are allowed")
        return
    for index, name in enumerate(channels):
        if not is_channel(name):
            yield FieldError(
                f"channels[{index}]",
                f"must have 1 to {CHANNEL_LENGTH_MAX} visible ASCII characters, and no comma",
            )


def data_filter_errors(document: Mapping[str, object]) -> Iterable[FieldError]:
    """Yield what is wrong with a filter on events' data, and where inside it."""
    try:
        compile_filter(document)
    except FilterError as error:
        yield FieldError(f"filter{error.path}", error.reason)


def is_metadata_key(text: str) -> bool:
    """Return whether ``text`` can be a key of metadata."""
    return _METADATA_KEY.fullmatch(text) is not None


def metadata_errors(metadata: Mapping[str, str | None]) -> Iterable[FieldError]:
    """Yield what is wrong with metadata as given; None removes an entry."""
    for key, value in metadata.items():
        if not is_metadata_key(key):
            yield FieldError(
                f"metadata.{key[:METADATA_KEY_LENGTH_MAX]}",
                f"a key has 1 to {METADATA_KEY_LENGTH_MAX} letters, digits, '_' and '-'",
            )
        elif value is not None and len(value) > METADATA_VALUE_LENGTH_MAX:
            yield FieldError(
                f"metadata.{key}",
                f"has {len(value)} characters; {METADATA_VALUE_LENGTH_MAX} are allowed",
            )


def check(
    wanted: CreateWebhook | UpdateWebhook,
    *,
    profile: Profile,
    policy: EgressPolicy,
    limits: Limits,
) -> None:
    """Check what is given; raises InvalidFields that names every field and its fix."""
    errors: list[FieldError] = []
    if isinstance(wanted.url, str):
        _add(errors, "url", url_problem(wanted.url, policy))
    if isinstance(wanted.events, list):
        errors.extend(event_errors(wanted.events, profile))
    if isinstance(wanted.description, str):
        _add(errors, "description", description_problem(wanted.description))
    if isinstance(wanted, CreateWebhook):
        formatted = in_format(profile, wanted.payload_format or "profile")
        errors.extend(signing_errors(wanted.signature, wanted.secret, formatted))
    if isinstance(wanted.metadata, dict):
        errors.extend(metadata_errors(wanted.metadata))
    if isinstance(wanted.headers, dict):
        errors.extend(custom_headers.problems(wanted.headers, profile))
    if isinstance(wanted.channels, tuple):
        errors.extend(channel_errors(wanted.channels))
    if isinstance(wanted.filter, dict):
        errors.extend(data_filter_errors(wanted.filter))
    errors.extend(delivery_settings.problems(wanted, limits))
    if errors:
        raise InvalidFields(errors)


def check_rotation(
    wanted: RotateSecret, version: SignatureVersion | None, profile: Profile
) -> None:
    """Check how a secret is to be replaced; ``version`` is what signs then."""
    errors = list(signing_errors(version, wanted.secret, profile))
    _add(errors, "overlap_s", overlap_problem(wanted.overlap_s))
    if errors:
        raise InvalidFields(errors)


def check_format(profile: Profile, payload_format: PayloadFormat, secret: str) -> None:
    """Check that a secret can sign in this format; raises InvalidFields, which does not show it."""
    formatted = in_format(profile, payload_format)
    problem = secret_problem(secret, formatted.signature)
    if problem is not None and not fits(formatted, secret):
        detail = f"cannot be {payload_format!r}: the webhook's secret {problem}; replace it first"
        raise InvalidFields([FieldError("payload_format", detail)])


def check_whole(endpoint: Endpoint) -> None:
    """Check what only shows once a change is merged in; raises InvalidFields."""
    errors = [
        FieldError(name, f"has {count} entries; {most} are allowed")
        for name, count, most in (
            ("metadata", len(endpoint.metadata), METADATA_MAX),
            ("headers", len(endpoint.headers), custom_headers.HEADERS_MAX),
        )
        if count > most
    ]
    if errors:
        raise InvalidFields(errors)


def without_repeats(events: Sequence[str]) -> tuple[str, ...]:
    """Return the names as given, exact repeats dropped."""
    return tuple(dict.fromkeys(events))


def new_secret(
    signature: Signature, entropy: bytes, version: SignatureVersion | None = None
) -> str:
    """Return a fresh signing secret; ``entropy`` is ``SECRET_ENTROPY_BYTES`` random bytes."""
    if version == "v1a":
        return asymmetric.new_private_key(entropy)
    if signature.scheme == "standard-webhooks":
        return signature.secret_prefix + base64.b64encode(entropy).decode()
    return signature.secret_prefix + entropy.hex()


def hint_of(secret: str) -> str:
    """Return what may be shown of a secret."""
    return secret[:HINT_CHARACTERS] + "…"


def _add(errors: list[FieldError], field: str, problem: str | None) -> None:
    if problem is not None:
        errors.append(FieldError(field, problem))
