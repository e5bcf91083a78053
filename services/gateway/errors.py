"""From an error to an answer: problem+json (RFC 9457), made in one function.

Every error answer has ``type`` (the address of its entry in the catalogue, ``problems``),
``title``, ``status`` and ``detail``; where fields of the request are to blame, ``errors`` lists
them with their fixes. What is our own fault says so and nothing more; the log has the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from msgspec import Meta

from services.gateway.problems import PROBLEM_TYPE
from shared.models.errors import (
    Forbidden,
    HooklaneError,
    Invalid,
    Misuse,
    Outage,
    Poison,
    Unauthorised,
)

PROBLEM_JSON: Final = "application/problem+json"
RETRY_AFTER_S: Final = 5
_SHOWN_FIELDS_MAX: Final = 20
CODES: Final = {
    400: "invalid_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
}

_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>[^`]*)`")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")

_CHOICE: Final = re.compile(r"Invalid enum value (?P<given>.*)", re.DOTALL)

_log = structlog.get_logger("gateway")


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field, and the fix. ``field`` is a path such as ``events[1]``."""

    field: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of every error answer (RFC 9457). ``limit`` is that of the workspace in the way."""

    type: Annotated[
        str,
        Meta(
            description="Which error it is, and the address of what is to be known of it.",
            examples=[PROBLEM_TYPE + Invalid.code],
            extra_json_schema={"format": "uri-reference"},
        ),
    ]
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] = ()
    limit: str = ""


class InvalidFields(Invalid):
    """Several fields are wrong; the answer names each."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{error.field}: {error.detail}" for error in errors))
        self.errors = tuple(errors)


class PreconditionFailed(Misuse):
    """The thing is not what the caller's ``If-Match`` expects."""

    code = "precondition_failed"
    status = 412


class UnsupportedMedia(Misuse):
    """The body is of a type that this call does not read."""

    code = "unsupported_media_type"
    status = 415


class TooLarge(Misuse):
    """The request is larger than this call allows."""

    code = "too_large"
    status = 413


class Suspended(Forbidden):
    """The operator has suspended the workspace, or is deleting it."""

    code = "workspace_suspended"


class TooMany(Misuse):
    """The workspace has used up one of its limits for now; ``limit`` is its name."""

    code = "rate_limited"
    status = 429

    def __init__(self, detail: str, *, limit: str, retry_after_s: int) -> None:
        super().__init__(detail)
        self.limit = limit
        self.retry_after_s = retry_after_s


class LimitReached(Misuse):
    """The workspace has as many of something as its limits allow; ``limit`` is the limit's name."""

    code = "limit_reached"
    status = 403

    def __init__(self, detail: str, *, limit: str) -> None:
        super().__init__(detail)
        self.limit = limit


class TooSlow(Misuse):
    """The body did not arrive in time."""

    code = "request_timeout"
    status = 408


def problem_of(error: Exception) -> Problem:
    """Return what a caller is told about ``error``."""
    if isinstance(error, Misuse | Poison):
        detail = error.reason if isinstance(error, Poison) else error.detail
        problem = _problem(error.status, error.code, detail, _field_errors(error, detail))
        limit = error.limit if isinstance(error, TooMany | LimitReached) else ""
        return msgspec.structs.replace(problem, limit=limit)
    if isinstance(error, Outage):
        detail = f"{error}; try again in {RETRY_AFTER_S} seconds"
        return _problem(error.status, error.code, detail)
    if isinstance(error, ValidationException):
        fields = tuple(_parameter_errors(error.extra))
        detail = "; ".join(f"{field.field}: {field.detail}" for field in fields) or error.detail
        return _problem(error.status_code, Invalid.code, detail, fields)
    if isinstance(error, HTTPException) and error.status_code < 500:
        code = CODES.get(error.status_code, Misuse.code)
        return _problem(error.status_code, code, error.detail)
    return _problem(500, HooklaneError.code, "Hooklane made an error; it is in its log")


def on_error(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """Answer any exception; Litestar's only exception handler."""
    problem = problem_of(error)
    if problem.status == 500:
        _log.error("request_failed", method=request.method, path=request.url.path, exc_info=error)
    elif problem.status == 503:
        _log.warning("request_refused", path=request.url.path, reason=str(error))
    return Response(
        _in_words(problem, request),
        status_code=problem.status,
        media_type=PROBLEM_JSON,
        headers=_headers(error, request),
    )


def from_msgspec(
    message: str,
    known: Iterable[str],
    choices: Mapping[str, Sequence[object]] = MappingProxyType({}),
) -> FieldError:
    """Return what msgspec's ``message`` says of a field.

    ``known`` are the fields that exist, ``choices`` the values of those that have few.
    """
    matched = _AT.match(message)
    assert matched is not None
    base = (matched["path"] or "$").removeprefix("$").removeprefix(".").replace("[...]", "[]")
    what = matched["what"]
    if (missing := _MISSING.fullmatch(what)) is not None:
        return FieldError(_join(base, missing["name"]), "is missing; add it")
    if (unknown := _UNKNOWN.fullmatch(what)) is not None:
        name = unknown["name"]
        return FieldError(_join(base, name), f"is not a field here; {_suggestion(name, known)}")
    if (choice := _CHOICE.fullmatch(what)) is not None and base in choices:
        possible = " or ".join(repr(value) for value in choices[base])
        return FieldError(base, f"is {choice['given'][:64]}; {possible} is possible")
    return FieldError(base or "body", what[:1].lower() + what[1:])


def unknown_names(given: Iterable[str], known: Sequence[str], kind: str) -> tuple[FieldError, ...]:
    """Return an error for each name that does not exist; ``kind`` says what it would be."""
    return tuple(
        FieldError(name[:64], f"is not a {kind} here; {_suggestion(name, known)}")
        for name in given
        if name not in known
    )


def _suggestion(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names) or 'none'}"


def _problem(status: int, code: str, detail: str, errors: tuple[FieldError, ...] = ()) -> Problem:
    return Problem(
        type=PROBLEM_TYPE + code,
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        errors=errors[:_SHOWN_FIELDS_MAX],
    )


def _field_errors(error: Misuse | Poison, detail: str) -> tuple[FieldError, ...]:
    if isinstance(error, InvalidFields):
        return error.errors
    return () if error.field is None else (FieldError(error.field, detail),)


def _parameter_errors(extra: object) -> Iterable[FieldError]:
    """Yield what Litestar says of parameters in the path and the query."""
    for item in extra if isinstance(extra, list) else ():
        message = str(item.get("message", "is not valid"))
        yield FieldError(str(item.get("key", "query")), message[:1].lower() + message[1:])


def _in_words(problem: Problem, request: Request[Any, Any, Any]) -> Problem:
    """Return the problem with the framework's terse details put into words."""
    path = request.url.path[:256]
    words = {
        404: f"there is nothing at {path}; the API is described at /openapi.json",
        405: f"{path} does not take {request.method}; see the Allow header",
    }
    if problem.detail == problem.title and problem.status in words:
        return msgspec.structs.replace(problem, detail=words[problem.status])
    return problem


def _headers(error: Exception, request: Request[Any, Any, Any]) -> dict[str, str]:
    if isinstance(error, Unauthorised):
        # RFC 6750, 3.1: without a credential in the request there is no error code to give.
        failed = ', error="invalid_token"' if "authorization" in request.headers else ""
        return {"WWW-Authenticate": f'Bearer realm="hooklane"{failed}'}
    if isinstance(error, Outage):
        return {"Retry-After": str(RETRY_AFTER_S)}
    if isinstance(error, TooMany):
        return {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, HTTPException):
        return dict(error.headers or {})
    return {}


def _join(base: str, name: str) -> str:
    return f"{base}.{name}" if base else name
