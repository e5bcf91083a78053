"""Parameters that name one of a few things. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from shared.models.errors import Invalid

Name = TypeVar("Name", bound=str)


def one_of(field: str, given: str | None, known: Collection[Name]) -> Name | None:
    """Return the name that was given, if one was; raises Invalid for one that is not known."""
    for one in known:
        if one == given:
            return one
    if given is not None:
        raise Invalid(f"{given[:64]!r} is not one of {', '.join(known)}", field=field)
    return None
