"""The catalogue of problems: every ``type`` that an error answer can have, and what to do. Pure.

``type`` is the address of its entry on the page that ``GET /errors`` shows, as a reference that is
the same in every deployment (``/errors#not_found``). ``docs/errors.md`` has the same entries; tests
hold the page, the catalogue and what the code can answer together.
"""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from typing import Final, NamedTuple

PAGE: Final = "/errors"
PROBLEM_TYPE: Final = f"{PAGE}#"
"""What every ``type`` begins with; the problem's name follows."""


class Kind(NamedTuple):
    """A problem: its name, the status that it comes with, what it means and what to do about it."""

    name: str
    status: int
    meaning: str
    remedy: str

    @property
    def title(self) -> str:
        """Return the status in words."""
        return HTTPStatus(self.status).phrase


CATALOGUE: Final = (
    Kind(
        "invalid_request",
        400,
        "A field, a parameter, a header or the JSON is wrong. Nothing was done.",
        "Correct what errors lists: each entry names a field and says what would be right.",
    ),
    Kind(
        "unauthorised",
        401,
        "There is no credential, or it is not valid: not known, revoked, or expired.",
        "Send Authorization: Bearer with an API key or a token that is valid.",
    ),
    Kind(
        "forbidden",
        403,
        "The credential is valid and may not do this: it lacks a scope, or a token is needed.",
        "Use a credential with the scope that detail names.",
    ),
    Kind(
        "workspace_suspended",
        403,
        "The operator of the deployment has suspended the workspace, or is deleting it. What it "
        "has can be looked at; nothing is changed, published or sent.",
        "Ask the operator.",
    ),
    Kind(
        "limit_reached",
        403,
        "The workspace has as many webhooks, API keys or event types as it may; limit says which.",
        "Delete one that is not needed, or ask the operator for more.",
    ),
    Kind(
        "not_found",
        404,
        "The workspace of the credential has no such thing, or the API has no such path.",
        "Check the id, and that the credential is of the workspace that the thing belongs to.",
    ),
    Kind(
        "method_not_allowed",
        405,
        "The path exists and does not take this method.",
        "Use one of the methods in the Allow header.",
    ),
    Kind(
        "request_timeout",
        408,
        "The body did not arrive in time. Nothing was done.",
        "Send it again, with the whole body at once.",
    ),
    Kind(
        "conflict",
        409,
        "The state of the thing does not allow the call, or the Idempotency-Key was used for "
        "another request within 24 hours.",
        "Look at the thing again, or use a new key for each request.",
    ),
    Kind(
        "precondition_failed",
        412,
        "The thing is not what If-Match names: somebody has changed it meanwhile.",
        "Fetch it, apply the change to what it is now, and send its new ETag.",
    ),
    Kind(
        "too_large",
        413,
        "The body, or the batch in it, is over the limit of the call.",
        "Send less at once; detail has the limit.",
    ),
    Kind(
        "unsupported_media_type",
        415,
        "The Content-Type is not one that the call reads, or the body is compressed.",
        "Send one of the types that detail names, without a Content-Encoding.",
    ),
    Kind(
        "rejected",
        422,
        "The event can be read and could not be delivered: its type is not known, or its data is "
        "more than JavaScript can hold. It was not published.",
        "Correct the field that errors names. On Kafka such an event is kept aside instead.",
    ),
    Kind(
        "rate_limited",
        429,
        "A rate or a quota of the workspace is used up; limit says which, and RateLimit how it "
        "stands. Nothing was done.",
        "Try again after the seconds in Retry-After.",
    ),
    Kind(
        "internal_error",
        500,
        "Hooklane made an error; its log has what happened.",
        "Send the call again with the same Idempotency-Key; tell the operator if it stays.",
    ),
    Kind(
        "unavailable",
        503,
        "Kafka or MongoDB does not answer. What was begun may be done: repeating it is safe for "
        "changes, and for publishing with an Idempotency-Key or an id of your own.",
        "Try again after the seconds in Retry-After.",
    ),
)


def page() -> str:
    """Return the catalogue as an HTML page, an anchor for each problem."""
    return _PAGE.format(entries="".join(map(_entry, CATALOGUE)))


def _entry(kind: Kind) -> str:
    return _ENTRY.format(**{name: escape(str(text)) for name, text in _texts(kind).items()})


def _texts(kind: Kind) -> dict[str, object]:
    return {**kind._asdict(), "title": kind.title}


_PAGE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Errors of the Hooklane API</title>
<h1>Errors of the Hooklane API</h1>
<p>Every error answer is <code>application/problem+json</code> (RFC 9457); its <code>type</code>
leads to an entry here.</p>
{entries}</html>
"""

_ENTRY: Final = """\
<h2 id="{name}">{name}</h2>
<p><strong>{status} {title}.</strong> {meaning}</p>
<p>What to do: {remedy}</p>
"""
