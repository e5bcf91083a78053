"""Headers that an endpoint wants with every request: what they may be, and how they are kept.

Their values are secrets to some users (``Authorization``), so they are treated as signing secrets
are: sealed with the key ring, bound to the endpoint and the header's name, and never shown again. A
header may neither frame the message nor pass for something that Hooklane says. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from services.gateway.errors import FieldError
from shared.http.messages import RESERVED_NAMES, HeaderRefused, render_headers
from shared.models.endpoints import MASK, header_context
from shared.profiles.profile import Profile
from shared.signing.keyring import NONCE_BYTES, Keyring

HEADERS_MAX: Final = 20
NAME_LENGTH_MAX: Final = 64
VALUE_LENGTH_MAX: Final = 1_024

_OURS: Final = RESERVED_NAMES | {
    "accept-encoding",
    "content-encoding",
    "content-type",
    "date",
    "user-agent",
}
_OUR_PREFIXES: Final = ("ce-", "proxy-", "sec-", "webhook-")

Sealed = Mapping[str, str | None]
"""Header names with their sealed values, None for what is to be removed."""

NO_HEADERS: Final[Sealed] = {}


def problems(given: Mapping[str, str | None], profile: Profile) -> Iterable[FieldError]:
    """Yield what is wrong with headers as given; None removes one and is never wrong."""
    seen: set[str] = set()
    for name, value in given.items():
        problem = _name_problem(name, profile) or _value_problem(name, value)
        if problem is None and name.lower() in seen:
            problem = "is there twice: the case of a header's name makes no difference"
        seen.add(name.lower())
        if problem is not None:
            yield FieldError(f"headers.{name[:NAME_LENGTH_MAX]}", problem)


def seal(
    given: Mapping[str, str | None],
    endpoint_id: str,
    keyring: Keyring,
    entropy: Callable[[int], bytes],
) -> Sealed:
    """Return the headers with their values sealed for this endpoint."""
    return {
        name: None
        if value is None
        else keyring.seal(value, header_context(endpoint_id, name), entropy(NONCE_BYTES))
        for name, value in given.items()
    }


def merged(current: Iterable[tuple[str, str]], patch: Sealed) -> tuple[tuple[str, str], ...]:
    """Return ``current`` with ``patch`` merged in (RFC 7396), whatever the case of the names."""
    kept = {name.lower(): (name, value) for name, value in current}
    for name, value in patch.items():
        if value is None:
            kept.pop(name.lower(), None)
        else:
            kept[name.lower()] = (name, value)
    return tuple(kept.values())


def _name_problem(name: str, profile: Profile) -> str | None:
    lowered = name.lower()
    signature = profile.signature
    said = {signature.header, signature.header_of_all}
    said |= {profile.headers.event_id, profile.headers.attempt}
    if len(name) > NAME_LENGTH_MAX:
        return f"has {len(name)} characters; {NAME_LENGTH_MAX} are allowed"
    if lowered in _OURS or lowered.startswith(_OUR_PREFIXES):
        return "is set by Hooklane and its transport only; use a name of your own"
    if lowered in {header.lower() for header in said}:
        return "is what receivers know Hooklane by; use a name of your own"
    return None


def _value_problem(name: str, value: str | None) -> str | None:
    if value is None:
        return None
    if value == MASK:
        return "is the mask of a value that is kept; leave the header out, or give all of its value"
    if not 0 < len(value) <= VALUE_LENGTH_MAX:
        return f"has {len(value)} characters; 1 to {VALUE_LENGTH_MAX} are needed"
    try:
        render_headers([(name, value)])
    except HeaderRefused as refused:
        return f"cannot be sent: {refused.reason}"
    return None
