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
    ],
)
def test_what_is_absent_or_in_its_range_is_taken(given: dict[str, Any]) -> None:
    assert wrong(**given) == []
