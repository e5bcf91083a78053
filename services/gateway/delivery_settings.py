"""How an endpoint wants its deliveries to be made: what each setting may be. Pure.

Each check yields the wrong fields with their fixes; what is absent, or null for the default, is
never wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from services.gateway.errors import FieldError
from services.gateway.schemas import CreateWebhook, UpdateWebhook

RATE_LIMIT_MIN: Final = 0.001  # one delivery in 17 minutes; slower than that is a pause
RATE_LIMIT_MAX: Final = 10_000.0  # more than a worker sends in all


class Limits(msgspec.Struct, frozen=True):
    """What this deployment can do for an endpoint. ``concurrency_max``: requests in flight."""

    concurrency_max: int


def problems(wanted: CreateWebhook | UpdateWebhook, limits: Limits) -> Iterable[FieldError]:
    """Yield what is wrong with the settings in ``wanted``."""
    concurrency, rate_limit = wanted.concurrency, wanted.rate_limit
    if isinstance(concurrency, int) and not 1 <= concurrency <= limits.concurrency_max:
        yield FieldError(
            "concurrency",
            f"is {concurrency}; 1 to {limits.concurrency_max} requests in flight are possible here",
        )
    if isinstance(rate_limit, float) and not RATE_LIMIT_MIN <= rate_limit <= RATE_LIMIT_MAX:
        yield FieldError(
            "rate_limit",
            f"is {rate_limit:g}; {RATE_LIMIT_MIN:g} to {RATE_LIMIT_MAX:g} deliveries a second are "
            "possible",
        )
