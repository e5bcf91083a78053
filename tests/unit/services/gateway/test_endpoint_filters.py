"""Filters of the list of endpoints."""

import pytest

from services.gateway.endpoint_filters import Filters, chosen_by
from services.gateway.errors import InvalidFields
from shared.models.management import ALL_ENDPOINTS, EndpointFilter
from tests.unit.services.gateway.fakes import QR3, XQR


def test_no_filter_shows_all() -> None:
    assert chosen_by(QR3, Filters()) == ALL_ENDPOINTS


def test_filters_are_taken_together() -> None:
    filters = Filters(
        status="paused", event_type="scan.created", search="Prod", metadata=("a:b:c", "d:")
    )

    assert chosen_by(QR3, filters) == EndpointFilter(
        status="paused",
        names=("qr.scanned", "scan.created", "qr.*", "scan.*", "*"),
        text="Prod",
        metadata={"a": "b:c", "d": ""},
    )


def test_a_type_that_an_open_catalogue_takes_is_looked_for() -> None:
    assert chosen_by(XQR, Filters(event_type="a.b")).names == ("a.b", "a.*", "*")


@pytest.mark.parametrize(
    ("filters", "field", "words"),
    [
        (Filters(status="stopped"), "status", "known: active, paused, disabled"),
        (Filters(event_type="qr.scaned"), "event_type", "did you mean 'qr.scanned'?"),
        (Filters(search=""), "search", "1 to 128 printable"),
        (Filters(search="x" * 129), "search", "1 to 128 printable"),
        (Filters(search="a\x00b"), "search", "1 to 128 printable"),
        (Filters(metadata=("team",)), "metadata", "must be key:value"),
        (Filters(metadata=("$where:1",)), "metadata", "must be key:value"),
        (Filters(metadata=("a.b:1",)), "metadata", "must be key:value"),
        (Filters(metadata=("a:1", "a:2")), "metadata", "has 'a' twice"),
    ],
)
def test_a_filter_that_is_none_is_named_with_its_fix(
    filters: Filters, field: str, words: str
) -> None:
    with pytest.raises(InvalidFields) as caught:
        chosen_by(QR3, filters)

    (error,) = caught.value.errors
    assert error.field == field
    assert words in error.detail
