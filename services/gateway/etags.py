"""Optimistic concurrency (RFC 9110, 8.8.3 and 13.1.1): ``ETag`` out, ``If-Match`` in. Pure.

An endpoint's tag is its revision, which grows with each change of it, also when Hooklane disables
it. What is counted beside it (consecutive failures) does not change the tag.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from services.gateway.errors import PreconditionFailed
from shared.models.errors import Invalid
from shared.models.management import Endpoint

_TAG: Final = r'(?:W/)?"[!#-~]*"'
_LIST: Final = re.compile(rf"[ \t]*{_TAG}(?:[ \t]*,[ \t]*{_TAG})*[ \t]*")
_EACH: Final = re.compile(_TAG)
_IF_MATCH_LENGTH_MAX: Final = 1_024


class Condition(msgspec.Struct, frozen=True):
    """What a caller expects the endpoint to be: one of these tags, None for anything."""

    tags: frozenset[str] | None = None

    def check(self, endpoint: Endpoint) -> None:
        """Raise PreconditionFailed unless the endpoint is as expected."""
        tag = etag_of(endpoint)
        if self.tags is not None and tag not in self.tags:
            raise PreconditionFailed(
                f"If-Match does not name the webhook's ETag, which is {tag} by now: "
                "fetch it again and repeat the call with what it has become in mind"
            )


ANYTHING: Final = Condition()


def etag_of(endpoint: Endpoint) -> str:
    """Return the endpoint's strong entity tag, quotes included."""
    return f'"{endpoint.revision}"'


def condition_of(if_match: str | None) -> Condition:
    """Return what an ``If-Match`` header asks for; raises Invalid for text that is none.

    Weak tags never match (RFC 9110, 13.1.1: strong comparison); ``*`` is any endpoint there is.
    """
    if if_match is None or if_match.strip() == "*":
        return ANYTHING
    if len(if_match) > _IF_MATCH_LENGTH_MAX or _LIST.fullmatch(if_match) is None:
        raise Invalid(
            'must be an ETag as received, in its quotes, such as "3"; several with commas, or *',
            field="If-Match",
        )
    return Condition(frozenset(_EACH.findall(if_match)))
