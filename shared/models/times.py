"""Timestamps as both guides print them: UTC, milliseconds, ``Z`` (``2026-03-15T10:00:00.000Z``).

Inside the system a time is an ``int`` of Unix milliseconds; text exists at the edges only.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
"""RFC 3339, 5.6; ``fromisoformat`` alone takes the whole of ISO 8601, week dates included."""


def iso_ms(time_ms: int) -> str:
    """Return ``time_ms`` as RFC 3339 text in UTC with exactly three fraction digits.

    Raises ValueError or OverflowError for a time outside the years 1 to 9999.
    """
    seconds, milliseconds = divmod(time_ms, 1000)
    return f"{_to_the_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=1_024)
def _to_the_second(seconds: int) -> str:
    """Return the text up to the seconds; kept, as thousands of events share a second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def parse_ms(text: str) -> int:
    """Return the Unix milliseconds of an RFC 3339 time; digits below a millisecond are dropped.

    Raises ValueError, with the fix, for text that is no time or that lacks an offset.
    """
    try:
        moment = datetime.fromisoformat(text.upper()) if _RFC3339.fullmatch(text) else None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(f"{text[:64]!r} is not an RFC 3339 time such as 2026-03-15T10:00:00.000Z")
    return (moment - _EPOCH) // _MILLISECOND
