"""What a list of endpoints is narrowed to: from a query to an ``EndpointFilter``. Pure.

A filter that could find nothing by mistake (an event type that does not exist, metadata without a
key) is refused, so that a mistake does not look like an empty list.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, get_args

import msgspec

from services.gateway.errors import FieldError, InvalidFields
from services.gateway.validation import is_metadata_key
from shared.models.management import EndpointFilter, EndpointStatus
from shared.policy.matching import names_of
from shared.profiles.profile import Profile

SEARCH_LENGTH_MAX: Final = 128
STATUSES: Final = get_args(EndpointStatus)


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """The query's filters as given; ``metadata`` holds ``key:value`` each."""

    status: str | None = None
    event_type: str | None = None
    search: str | None = None
    metadata: tuple[str, ...] = ()


def chosen_by(profile: Profile, filters: Filters) -> EndpointFilter:
    """Return what a list is to show; raises InvalidFields that names every wrong filter."""
    errors = list(_problems(profile, filters))
    if errors:
        raise InvalidFields(errors)
    pairs = (entry.partition(":") for entry in filters.metadata)
    return EndpointFilter(
        status=filters.status,  # type: ignore[arg-type]  # one of STATUSES by now
        names=None if filters.event_type is None else names_of(profile, filters.event_type),
        text=filters.search,
        metadata={key: value for key, _, value in pairs},
    )


def _problems(profile: Profile, filters: Filters) -> Iterable[FieldError]:
    status, event_type, search = filters.status, filters.event_type, filters.search
    if status is not None and status not in STATUSES:
        yield FieldError("status", f"is {status[:64]!r}; known: {', '.join(STATUSES)}")
    reason = None if event_type is None else profile.unknown_reason(event_type)
    if reason is not None:
        yield FieldError("event_type", reason)
    if search is not None and not (0 < len(search) <= SEARCH_LENGTH_MAX and search.isprintable()):
        yield FieldError("search", f"must have 1 to {SEARCH_LENGTH_MAX} printable characters")
    seen: set[str] = set()
    for entry in filters.metadata:
        key, colon, _ = entry.partition(":")
        if not colon or not is_metadata_key(key):
            yield FieldError("metadata", f"{entry[:64]!r} must be key:value, such as team:billing")
        elif key in seen:
            yield FieldError("metadata", f"has {key!r} twice; an endpoint has one value of it")
        seen.add(key)
