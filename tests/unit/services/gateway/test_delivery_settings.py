"""How an endpoint may want its deliveries."""

from typing import Any

import pytest

from services.gateway.delivery_settings import problems
from services.gateway.errors import FieldError
from services.gateway.schemas import UpdateWebhook
from tests.unit.services.gateway.fakes import LIMITS


def wrong(**given: Any) -> list[FieldError]:
    return list(problems(UpdateWebhook(**given), LIMITS))


@pytest.mark.parametrize("concurrency", [0, -1, 33])
def test_a_concurrency_that_this_deployment_cannot_give_names_its_range(concurrency: int) -> None:
    assert wrong(concurrency=concurrency) == [
        FieldError("concurrency", f"is {concurrency}; 1 to 32 requests in flight are possible here")
    ]


@pytest.mark.parametrize("rate", [0.0, -0.5, 0.0009, 10_000.5])
def test_a_rate_that_is_none_names_its_range(rate: float) -> None:
    assert wrong(rate_limit=rate) == [
        FieldError("rate_limit", f"is {rate:g}; 0.001 to 10000 deliveries a second are possible")
    ]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"concurrency": None, "rate_limit": None},
        {"concurrency": 1, "rate_limit": 0.001},
        {"concurrency": 32, "rate_limit": 10_000.0},
        {"retry_delays": None, "timeout_ms": None, "success_codes": None},
        {"retry_delays": (), "timeout_ms": 1_000, "success_codes": (200,)},
        {"retry_delays": ("5s",) * 20, "timeout_ms": 30_000, "success_codes": ("2xx", "3xx", 499)},
    ],
)
def test_what_is_absent_or_in_its_range_is_taken(given: dict[str, Any]) -> None:
    assert wrong(**given) == []


def test_a_delay_that_no_tier_holds_names_the_tiers() -> None:
    errors = wrong(retry_delays=("5s", "7s", "60s"))

    assert [error.field for error in errors] == ["retry_delays[1]", "retry_delays[2]"]
    assert errors[0].detail == (
        "'7s' is not a retry tier; tiers are 5s, 30s, 1m, 5m, 15m, 30m, 1h, 2h, 5h, 10h, 14h, "
        "20h, 24h"
    )


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"retry_delays": ("5s",) * 21}, "retry_delays", "has 21 items; 20 are allowed"),
        ({"timeout_ms": 999}, "timeout_ms", "1000 to 30000 milliseconds"),
        ({"timeout_ms": 30_001}, "timeout_ms", "1000 to 30000 milliseconds"),
        ({"success_codes": ()}, "success_codes", "has 0 items; 1 to 20 are needed"),
        ({"success_codes": (200,) * 21}, "success_codes", "has 21 items"),
        ({"success_codes": ("4xx",)}, "success_codes[0]", "is '4xx'; give a code from 200 to 499"),
        ({"success_codes": ("2xx", 500)}, "success_codes[1]", "is 500; give a code"),
        ({"success_codes": (199,)}, "success_codes[0]", "is 199; give a code"),
        ({"success_codes": (410,)}, "success_codes[0]", "410 always means a failure"),
        ({"success_codes": (429,)}, "success_codes[0]", "429 always means a failure"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_with_the_fix(
    given: dict[str, Any], field: str, words: str
) -> None:
    (error,) = wrong(**given)

    assert error.field == field
    assert words in error.detail
