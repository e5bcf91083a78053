"""Errors by blame. A receiver's failure is not among them: it is a value (``models.attempts``).

    HooklaneError
    ├── Misuse          the caller's request can never work as it is; names the field and the fix
    │   ├── Invalid         400  a field is wrong
    │   ├── Unauthorised    401  no credential, or one that is not valid
    │   ├── Forbidden       403  the credential may not do this
    │   ├── NotFound        404  no such thing in the caller's workspace
    │   └── Conflict        409  the state of the thing does not allow it
    ├── Poison          this Kafka record will never work; it is kept in ``events.rejected``
    └── Outage          infrastructure is away; nothing is acknowledged, the work is tried again

Each class carries its policy as attributes (``status``, ``code``, ``retriable``), so that callers
look it up instead of testing for types.
"""

from __future__ import annotations

from typing import ClassVar


class HooklaneError(Exception):
    """Root of every error that this project raises on purpose."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retriable: ClassVar[bool] = False


class Misuse(HooklaneError):
    """The caller asked for something that cannot be done; ``detail`` names the fix."""

    code = "invalid_request"
    status = 400

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class Invalid(Misuse):
    """A field of the request is missing or wrong."""


class Unauthorised(Misuse):
    """The request has no credential, or one that does not check."""

    code = "unauthorised"
    status = 401


class Forbidden(Misuse):
    """The credential is good, but does not allow this call."""

    code = "forbidden"
    status = 403


class NotFound(Misuse):
    """The caller's workspace has no such thing."""

    code = "not_found"
    status = 404


class Conflict(Misuse):
    """The state of the thing does not allow this call."""

    code = "conflict"
    status = 409


class Poison(HooklaneError):
    """A record on ``events`` that will never work; it is kept aside with ``reason``."""

    code = "rejected"
    status = 422

    def __init__(self, reason: str, *, field: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field


class Outage(HooklaneError):
    """Kafka or MongoDB did not answer in time; the same call may work later."""

    code = "unavailable"
    status = 503
    retriable = True
