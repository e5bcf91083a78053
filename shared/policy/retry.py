"""What follows an attempt: nothing, another attempt in a tier, or the end.

The rules, with their sources: 2xx is success, everything else a failure (QR3's reference: "HTTP >=
300 or a timeout"), unless the endpoint names other codes; the profile's schedule, or the endpoint's
own, names the tier that follows each attempt; ``Retry-After``
(RFC 9110, 10.2.3: seconds or a date) moves the attempt to the smallest tier that is not shorter, up
to the profile's cap and the longest tier; 410 Gone ends the delivery and disables the endpoint.
With 429 and 503 the receiver speaks for all requests, not for this one (RFC 6585, 4; RFC 9110,
15.6.4): ``hold_ms``. Pure.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Literal

import msgspec

from shared.profiles.profile import Profile
from shared.topics import Tier, Tiers, duration_ms

GONE: Final = 410
SPEAK_FOR_ALL: Final = frozenset({429, 503})
_EVERY_2XX: Final = range(200, 300)

EndReason = Literal["exhausted", "gone"]


class Again(msgspec.Struct, frozen=True):
    """Another attempt follows, not before ``due_ms``."""

    tier: Tier
    due_ms: int


class Ended(msgspec.Struct, frozen=True):
    """No attempt follows; the delivery goes to ``deliveries.dead``."""

    reason: EndReason


class RetryPolicy:
    """The retry rules of one profile, or of one endpoint, ready for use. Immutable.

    An endpoint's ``delays`` are kept also when the deployment's tiers have changed since: the
    smallest tier that is not shorter takes the place of one that is gone.
    """

    __slots__ = ("_retry_after_max_ms", "_schedule", "_tiers")

    def __init__(self, profile: Profile, tiers: Tiers, delays: Sequence[str] | None = None) -> None:
        self._tiers = tiers
        if delays is None:
            self._schedule = profile.schedule(tiers)
        else:
            self._schedule = tuple(tiers.at_least(duration_ms(delay)) for delay in delays)
        self._retry_after_max_ms = duration_ms(profile.retry.retry_after_max)

    def after_failure(
        self, *, attempt: int, status: int | None, retry_after: str | None, now_ms: int
    ) -> Again | Ended:
        """Return what follows the failed ``attempt`` (from 1), which ended at ``now_ms``."""
        if status == GONE:
            return Ended("gone")
        if attempt > len(self._schedule):
            return Ended("exhausted")
        tier = self._schedule[attempt - 1]
        asked_ms = self._asked_ms(retry_after, now_ms)
        if asked_ms > tier.delay_ms:
            tier = self._tiers.at_least(asked_ms)
        return Again(tier, now_ms + tier.delay_ms)

    def hold_ms(self, *, status: int, retry_after: str | None, now_ms: int) -> int:
        """Return for how long the receiver asks to be sent nothing at all, from ``now_ms`` on."""
        return self._asked_ms(retry_after, now_ms) if status in SPEAK_FOR_ALL else 0

    def _asked_ms(self, retry_after: str | None, now_ms: int) -> int:
        return min(retry_after_ms(retry_after, now_ms), self._retry_after_max_ms)


def success_statuses(codes: Iterable[str | int] | None) -> Container[int]:
    """Return the statuses that mean that the receiver took the webhook; None: every 2xx.

    A code is a number, or a class such as ``2xx``.
    """
    if codes is None:
        return _EVERY_2XX
    statuses: set[int] = set()
    for code in codes:
        if isinstance(code, int):
            statuses.add(code)
        else:
            first = 100 * int(code[0])
            statuses.update(range(first, first + 100))
    return frozenset(statuses)


def retry_after_ms(value: str | None, now_ms: int) -> int:
    """Return the milliseconds that a ``Retry-After`` value asks for; 0 for none or nonsense."""
    if value is None:
        return 0
    text = value.strip()
    if text.isascii() and text.isdigit():
        return int(text.lstrip("0")[:12] or "0") * 1000
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a year or a zone that does not fit the machine
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, int(moment.timestamp() * 1000) - now_ms)
