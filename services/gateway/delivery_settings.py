"""How an endpoint wants its deliveries to be made: what each setting may be. Pure.

Each check yields the wrong fields with their fixes; what is absent, or null for the default, is
never wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import UNSET

from services.gateway.errors import FieldError
from services.gateway.schemas import (
    RATE_LIMIT_MAX,
    RATE_LIMIT_MIN,
    RETRY_DELAYS_MAX,
    SUCCESS_CODES_MAX,
    TIMEOUT_MS_MAX,
    TIMEOUT_MS_MIN,
    CreateWebhook,
    UpdateWebhook,
)
from shared.topics import Tiers

_CLASSES: Final = ("2xx", "3xx")
_HAVE_A_MEANING: Final = (410, 429)  # gone; too many requests


class Limits(msgspec.Struct, frozen=True):
    """What this deployment can do for an endpoint. ``concurrency_max``: requests in flight."""

    concurrency_max: int
    tiers: Tiers


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
    if wanted.retry_delays is not UNSET and wanted.retry_delays is not None:
        yield from _delay_problems(wanted.retry_delays, limits.tiers)
    timeout_ms = wanted.timeout_ms
    if isinstance(timeout_ms, int) and not TIMEOUT_MS_MIN <= timeout_ms <= TIMEOUT_MS_MAX:
        yield FieldError(
            "timeout_ms",
            f"is {timeout_ms}; {TIMEOUT_MS_MIN} to {TIMEOUT_MS_MAX} milliseconds are possible",
        )
    if wanted.success_codes is not UNSET and wanted.success_codes is not None:
        yield from _code_problems(wanted.success_codes)


def _delay_problems(delays: Sequence[str], tiers: Tiers) -> Iterable[FieldError]:
    if len(delays) > RETRY_DELAYS_MAX:
        yield FieldError("retry_delays", f"has {len(delays)} items; {RETRY_DELAYS_MAX} are allowed")
        return
    for index, delay in enumerate(delays):
        try:
            tiers.named(delay)
        except ValueError as error:
            yield FieldError(f"retry_delays[{index}]", str(error))


def _code_problems(codes: Sequence[str | int]) -> Iterable[FieldError]:
    if not 1 <= len(codes) <= SUCCESS_CODES_MAX:
        yield FieldError(
            "success_codes", f"has {len(codes)} items; 1 to {SUCCESS_CODES_MAX} are needed"
        )
        return
    for index, code in enumerate(codes):
        field = f"success_codes[{index}]"
        if code in _HAVE_A_MEANING:
            yield FieldError(field, f"{code} always means a failure, as its definition says")
        elif code not in _CLASSES and not (isinstance(code, int) and 200 <= code <= 499):
            classes = " or ".join(repr(name) for name in _CLASSES)
            shown = code if isinstance(code, int) else repr(code[:64])
            yield FieldError(field, f"is {shown}; give a code from 200 to 499, or {classes}")
