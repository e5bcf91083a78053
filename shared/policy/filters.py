"""Filters on an event's data: a bounded JSON document, compiled once, asked for each event. Pure.

A filter is an object, and each of its members is a condition; all must hold. A name says what the
member of ``data`` with that name must be: a text, number, boolean or null is itself (``$eq``), an
object is a filter on what is there. A name with ``$`` is an operator on the value where it stands:

    {"country": {"$in": ["AT", "DE"]}, "scan": {"views": {"$gte": 100}}, "$not": {"test": true}}

Comparisons are JSON's: 1 is 1.0, ``true`` is no number, arrays and objects are equal by their
content. Numbers and texts have an order, each among themselves (texts by code point, so times in
RFC 3339 compare as times). What is absent equals nothing: ``$eq``, ``$in`` and the comparisons do
not hold for it, ``$ne``, ``$nin`` and ``$not`` do. A value is compared as a whole: an array is not
searched, so that the cost is bounded by the filter and never by the event.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

FILTER_BYTES_MAX: Final = 4_096
DEPTH_MAX: Final = 8
CONDITIONS_MAX: Final = 64
ITEMS_MAX: Final = 100  # of $in, $nin, $and, $or
_SHOWN_CHARACTERS_MAX: Final = 64

_ABSENT: Final = object()


class FilterError(ValueError):
    """A filter cannot be used; ``path`` is where inside it, such as ``.country.$in[3]``."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"filter{path}: {reason}")
        self.path = path
        self.reason = reason


class Filter(Protocol):
    """A compiled filter. Immutable; safe to share."""

    def holds(self, value: object) -> bool:
        """Return whether ``value`` (decoded JSON) is as the filter wants it."""

    def reason(self, value: object) -> str | None:
        """Return where and why the filter does not hold, None where it does."""


def compile_filter(document: object) -> Filter:
    """Return the filter that ``document`` (decoded JSON) says; raises FilterError."""
    size = len(msgspec.json.encode(document))
    if size > FILTER_BYTES_MAX:
        raise FilterError("", f"has {size} bytes as JSON; {FILTER_BYTES_MAX} are allowed")
    return _Compiler().conditions(document, "", 1)


def read_filter(text: str) -> Filter:
    """Return the filter that was stored as JSON; raises msgspec.DecodeError for anything else."""
    try:
        return compile_filter(msgspec.json.decode(text))
    except FilterError as error:
        raise msgspec.DecodeError(str(error)) from None


def equal(left: object, right: object) -> bool:
    """Return whether two decoded JSON values are the same value."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(
            equal(value, right[name]) for name, value in left.items()
        )
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return type(left) is type(right) and left == right


class _All:
    """Every one of its parts holds."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[Filter]) -> None:
        self._parts = tuple(parts)

    def holds(self, value: object) -> bool:
        return all(part.holds(value) for part in self._parts)

    def reason(self, value: object) -> str | None:
        reasons = (part.reason(value) for part in self._parts)
        return next((reason for reason in reasons if reason is not None), None)


class _Some:
    """At least one of its parts holds."""

    __slots__ = ("_parts", "_path")

    def __init__(self, path: str, parts: Sequence[Filter]) -> None:
        self._path = path
        self._parts = tuple(parts)

    def holds(self, value: object) -> bool:
        return any(part.holds(value) for part in self._parts)

    def reason(self, value: object) -> str | None:
        if self.holds(value):
            return None
        return f"filter{self._path}: none of the {len(self._parts)} holds"


class _Not:
    """Its part does not hold."""

    __slots__ = ("_part", "_path")

    def __init__(self, path: str, part: Filter) -> None:
        self._path = path
        self._part = part

    def holds(self, value: object) -> bool:
        return not self._part.holds(value)

    def reason(self, value: object) -> str | None:
        return None if self.holds(value) else f"filter{self._path}: what must not hold does"


class _Member:
    """Its part holds for the member of this name."""

    __slots__ = ("_name", "_part")

    def __init__(self, name: str, part: Filter) -> None:
        self._name = name
        self._part = part

    def holds(self, value: object) -> bool:
        return self._part.holds(self._of(value))

    def reason(self, value: object) -> str | None:
        return self._part.reason(self._of(value))

    def _of(self, value: object) -> object:
        return value.get(self._name, _ABSENT) if isinstance(value, dict) else _ABSENT


class _Test:
    """One operator, with what it compares with."""

    __slots__ = ("_operand", "_path", "_test")

    def __init__(self, path: str, test: Callable[[Any, Any], bool], operand: object) -> None:
        self._path = path
        self._test = test
        self._operand = operand

    def holds(self, value: object) -> bool:
        return self._test(value, self._operand)

    def reason(self, value: object) -> str | None:
        if self.holds(value):
            return None
        return f"filter{self._path}: {_shown(value)} against {_shown(self._operand)}"


class _Compiler:
    """Compiles one filter; counts its conditions."""

    def __init__(self) -> None:
        self._count = 0

    def conditions(self, document: object, path: str, depth: int) -> Filter:
        """Return the filter in ``document``, which stands at ``path``."""
        if not isinstance(document, dict):
            raise FilterError(path, f"must be an object, not {_shown(document)}")
        if not document:
            raise FilterError(path, "is empty; leave it out, or say what must hold")
        if depth > DEPTH_MAX:
            raise FilterError(path, f"is nested deeper than {DEPTH_MAX} levels")
        parts = [
            self._condition(name, operand, f"{path}.{name[:_SHOWN_CHARACTERS_MAX]}", depth)
            for name, operand in document.items()
        ]
        return parts[0] if len(parts) == 1 else _All(parts)

    def _condition(self, name: str, operand: object, path: str, depth: int) -> Filter:
        self._count += 1
        if self._count > CONDITIONS_MAX:
            raise FilterError(path, f"is one condition too many; {CONDITIONS_MAX} are allowed")
        if name.startswith("$"):
            return self._operator(name, operand, path, depth)
        if isinstance(operand, dict):
            return _Member(name, self.conditions(operand, path, depth + 1))
        if isinstance(operand, list):
            raise FilterError(path, 'is an array; say {"$in": […]} or {"$eq": […]}')
        return _Member(name, _Test(path, equal, operand))

    def _operator(self, name: str, operand: object, path: str, depth: int) -> Filter:
        if name == "$not":
            return _Not(path, self.conditions(operand, path, depth + 1))
        if name in ("$and", "$or"):
            items = _items(operand, path)
            parts = [
                self.conditions(item, f"{path}[{index}]", depth + 1)
                for index, item in enumerate(items)
            ]
            return _All(parts) if name == "$and" else _Some(path, parts)
        known = _OPERATORS.get(name)
        if known is None:
            names = ", ".join((*_OPERATORS, "$and", "$or", "$not"))
            raise FilterError(path, f"{name[:16]} is not an operator; known: {names}")
        check, test = known
        check(operand, path)
        return _Test(path, test, operand)


def _items(operand: object, path: str) -> list[object]:
    if not isinstance(operand, list) or not 1 <= len(operand) <= ITEMS_MAX:
        raise FilterError(path, f"must be an array of 1 to {ITEMS_MAX} items")
    return operand


def _list_operand(operand: object, path: str) -> None:
    _shallow_operand(_items(operand, path), path)


def _shallow_operand(operand: object, path: str) -> None:
    """Accept every JSON value that can be compared without deep recursion."""
    inside = [operand]
    for _ in range(DEPTH_MAX):
        nested = [item for item in inside if isinstance(item, dict | list)]
        inside = [
            value
            for item in nested
            for value in (item.values() if isinstance(item, dict) else item)
        ]
        if not inside:
            return
    raise FilterError(path, f"is nested deeper than {DEPTH_MAX} levels")


def _ordered_operand(operand: object, path: str) -> None:
    if isinstance(operand, bool) or not isinstance(operand, int | float | str):
        raise FilterError(path, f"must be a number or a text, not {_shown(operand)}")


def _text_operand(operand: object, path: str) -> None:
    if not isinstance(operand, str):
        raise FilterError(path, f"must be a text, not {_shown(operand)}")


def _boolean_operand(operand: object, path: str) -> None:
    if not isinstance(operand, bool):
        raise FilterError(path, f"must be true or false, not {_shown(operand)}")


def _compared(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def test(value: Any, operand: Any) -> bool:
        if isinstance(operand, str):
            return isinstance(value, str) and compare(value, operand)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and compare(value, operand)

    return test


def _among(value: object, operand: Sequence[object]) -> bool:
    return any(equal(value, item) for item in operand)


def _shown(value: object) -> str:
    """Return a value in words that are short enough for a message."""
    if value is _ABSENT:
        return "nothing there"
    try:
        text = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON may have escaped
        text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[:_SHOWN_CHARACTERS_MAX] + "…"


_OPERATORS: Final[
    Mapping[str, tuple[Callable[[object, str], object], Callable[[Any, Any], bool]]]
] = {
    "$eq": (_shallow_operand, equal),
    "$ne": (_shallow_operand, lambda value, operand: not equal(value, operand)),
    "$in": (_list_operand, _among),
    "$nin": (_list_operand, lambda value, operand: not _among(value, operand)),
    "$gt": (_ordered_operand, _compared(operator.gt)),
    "$gte": (_ordered_operand, _compared(operator.ge)),
    "$lt": (_ordered_operand, _compared(operator.lt)),
    "$lte": (_ordered_operand, _compared(operator.le)),
    "$exists": (_boolean_operand, lambda value, operand: (value is not _ABSENT) is operand),
    "$startsWith": (
        _text_operand,
        lambda value, operand: isinstance(value, str) and value.startswith(operand),
    ),
    "$endsWith": (
        _text_operand,
        lambda value, operand: isinstance(value, str) and value.endswith(operand),
    ),
}
