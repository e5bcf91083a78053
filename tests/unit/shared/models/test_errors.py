"""The tree of errors, as its docstring draws it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from shared.models import errors


def _drawn() -> dict[str, tuple[str, int | None]]:
    """Return each class in the drawing with its parent and the status beside it."""
    parents: list[str] = []
    drawn: dict[str, tuple[str, int | None]] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ((?:[│ ]   )*)(?:[├└]── )?([A-Z]\w+)(?:\s+(\d{3})\s)?", line)
        if match is None:
            continue
        depth = len(match[1]) // 4 + ("── " in line)
        parents[depth:] = [match[2]]
        status = int(match[3]) if match[3] else None
        drawn[match[2]] = (parents[depth - 1] if depth else "Exception", status)
    return drawn


def test_the_drawing_is_true() -> None:
    """Names, parents and statuses are those of the classes, and no class is missing."""
    drawn = _drawn()
    classes: dict[str, Any] = {
        name: kind for name, kind in vars(errors).items() if isinstance(kind, type)
    }
    assert set(drawn) == set(classes)
    for name, (parent, status) in drawn.items():
        assert classes[name].__bases__[0].__name__ == parent
        if status is not None:
            assert classes[name].status == status


@pytest.mark.parametrize("kind", [errors.Invalid, errors.NotFound, errors.Poison])
def test_a_callers_fault_is_not_worth_a_second_try(kind: type[errors.HooklaneError]) -> None:
    assert not kind.retriable
    assert 400 <= kind.status < 500


def test_an_outage_is_worth_a_second_try() -> None:
    assert errors.Outage.retriable
    assert errors.Outage.status == 503


def test_errors_say_the_field_and_the_fix() -> None:
    misuse = errors.Invalid("url must begin with https://", field="url")
    poison = errors.Poison("data must be a JSON object", field="data")
    assert (str(misuse), misuse.detail, misuse.field) == (misuse.detail, misuse.detail, "url")
    assert (str(poison), poison.reason, poison.field) == (poison.reason, poison.reason, "data")
