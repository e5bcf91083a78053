"""Optimistic concurrency: tags out, conditions in."""

import msgspec
import pytest

from services.gateway.errors import PreconditionFailed
from services.gateway.etags import ANYTHING, condition_of, etag_of
from shared.models.errors import Invalid
from tests.unit.services.gateway.test_changes import ENDPOINT


def test_the_tag_is_strong_and_changes_with_the_endpoint() -> None:
    later = msgspec.structs.replace(ENDPOINT, revision=ENDPOINT.revision + 1)

    assert etag_of(ENDPOINT) == '"3"'
    assert etag_of(later) != etag_of(ENDPOINT)


@pytest.mark.parametrize(
    "if_match", [None, "*", " * ", '"3"', '"1", "3"', ' "3" ,W/"9"', '"3","3"']
)
def test_the_endpoint_as_expected_may_be_changed(if_match: str | None) -> None:
    condition_of(if_match).check(ENDPOINT)


@pytest.mark.parametrize("if_match", ['"2"', 'W/"3"', '"33"', '""', '"1", "2"'])
def test_an_endpoint_that_has_become_another_is_left_alone(if_match: str) -> None:
    with pytest.raises(PreconditionFailed, match='which is "3" by now'):
        condition_of(if_match).check(ENDPOINT)


@pytest.mark.parametrize(
    "if_match", ["3", "", '"3', '"3" "4"', '"3",', "*, *", '"3", *', '"é"', '"' + "x" * 1_100 + '"']
)
def test_what_is_no_list_of_tags_is_refused_with_the_fix(if_match: str) -> None:
    with pytest.raises(Invalid, match="in its quotes") as caught:
        condition_of(if_match)

    assert caught.value.field == "If-Match"


def test_without_a_condition_everything_is_expected() -> None:
    assert condition_of(None) is ANYTHING
