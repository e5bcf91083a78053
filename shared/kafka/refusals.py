"""Saying that Kafka refuses us: its login, our certificate or its own, or what we may do.

A refusal is waited out like an outage: a password that is being changed, or a permission that is
being granted, must cost nothing, and whoever ended here would come back to the same answer with
nothing in memory any more. But it is no outage, and nobody would look for it under that name. So
``tell`` logs ``kafka_refuses`` as an error of ours, with the setting to look at, and at most once
in ``TELL_EVERY_S`` for the same reason; whoever waits goes on saying what waits.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from typing import Final

import structlog
from aiokafka import errors

from shared.seldom import Seldom

TELL_EVERY_S: Final = 10.0

_LOGIN: Final = (
    errors.SaslAuthenticationFailed,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
)
_PERMISSION: Final = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
)
_CUT_OFF: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""How a handshake ends with a broker that is killed in the middle of it: an outage."""

_FIXES: Final[dict[tuple[type[Exception], ...], str]] = {
    _LOGIN: (
        "check HOOKLANE_KAFKA_USERNAME, HOOKLANE_KAFKA_PASSWORD and HOOKLANE_KAFKA_SASL_MECHANISM"
    ),
    _PERMISSION: "grant what `python -m shared.kafka.acls` lists for this service",
    (ssl.SSLError,): (
        "check HOOKLANE_KAFKA_CA_FILE and HOOKLANE_KAFKA_CERT_FILE, and that the brokers' "
        "certificates name the hosts that they advertise"
    ),
}

_log = structlog.get_logger("kafka")
_seldom: Final = Seldom(TELL_EVERY_S)


def fix_of(error: BaseException) -> str | None:
    """Return what to look at if ``error`` is a refusal, or was caused by one; else None."""
    for cause in _causes(error):
        for kinds, fix in _FIXES.items():
            if isinstance(cause, kinds) and not isinstance(cause, _CUT_OFF):
                return fix
    return None


def tell(error: BaseException, **more: object) -> None:
    """Log ``error`` if it is a refusal that was not logged just now."""
    fix = fix_of(error)
    if fix is not None and _seldom.due(repr(error), time.monotonic()):
        _log.error("kafka_refuses", error=repr(error), fix=fix, **more)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised for."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
