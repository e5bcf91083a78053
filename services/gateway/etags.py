"""Optimistic concurrency (RFC 9110, 8.8.3 and 13.1.1): ``ETag`` out, ``If-Match`` in. Pure.

The tag of a webhook or a workspace is its revision, which grows with each change of it, also when
Hooklane disables it. What is counted beside it (consecutive failures) does not change the tag.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

import msgspec

from services.gateway.errors import PreconditionFailed
from shared.models.errors import Invalid

_TAG: Final = r'(?:W/)?"[!#-~]*"'
_LIST: Final = re.compile(rf"[ \t]*{_TAG}(?:[ \t]*,[ \t]*{_TAG})*[ \t]*")
_EACH: Final = re.compile(_TAG)
_IF_MATCH_LENGTH_MAX: Final = 1_024


class Revised(Protocol):
    """What has an entity tag."""

    @property
    def revision(self) -> int:
        """Return a number that grows with each change."""


class Condition(msgspec.Struct, frozen=True):
    """What a caller expects the thing to be: one of these tags, None for anything."""

    tags: frozenset[str] | None = None

    def check(self, thing: Revised) -> None:
        """Raise PreconditionFailed unless the thing is as expected."""
        tag = etag_of(thing)
        if self.tags is not None and tag not in self.tags:
            raise PreconditionFailed(
                f"If-Match does not name the present ETag, which is {tag} by now: "
                "fetch it again and repeat the call with what it has become in mind"
            )


ANYTHING: Final = Condition()


def etag_of(thing: Revised) -> str:
    """Return the thing's strong entity tag, quotes included."""
    return f'"{thing.revision}"'


def condition_of(if_match: str | None) -> Condition:
    """Return what an ``If-Match`` header asks for; raises Invalid for text that is none.

    Weak tags never match (RFC 9110, 13.1.1: strong comparison); ``*`` is anything there is.
    """
    if if_match is None or if_match.strip() == "*":
        return ANYTHING
    if len(if_match) > _IF_MATCH_LENGTH_MAX or _LIST.fullmatch(if_match) is None:
        raise Invalid(
            'must be an ETag as received, in its quotes, such as "3"; several with commas, or *',
            field="If-Match",
        )
    return Condition(frozenset(_EACH.findall(if_match)))
