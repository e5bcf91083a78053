"""Filters on data: what they mean, and where they end."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.policy.filters import (
    CONDITIONS_MAX,
    DEPTH_MAX,
    FilterError,
    compile_filter,
    equal,
    read_filter,
)

ABSENT = object()
names = st.sampled_from(["a", "b", "c"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.0, 1.0, 1.5, -2.0])
    | st.text("xy", max_size=2)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
tests = st.one_of(
    st.fixed_dictionaries({"$eq": values}),
    st.fixed_dictionaries({"$ne": values}),
    st.fixed_dictionaries({"$in": st.lists(values, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"$nin": st.lists(values, min_size=1, max_size=3)}),
    *(
        st.fixed_dictionaries({name: st.integers(-2, 2) | st.text("xy", max_size=2)})
        for name in ("$gt", "$gte", "$lt", "$lte")
    ),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    st.fixed_dictionaries({"$startsWith": st.text("xy", max_size=2)}),
    st.fixed_dictionaries({"$endsWith": st.text("xy", max_size=2)}),
)
filters = st.recursive(
    tests | st.dictionaries(names, scalars | tests, min_size=1, max_size=2),
    lambda inner: (
        st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=2)})
        | st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=2)})
        | st.fixed_dictionaries({"$not": inner})
        | st.dictionaries(names, inner, min_size=1, max_size=2)
    ),
    max_leaves=4,
)


def canonical(value: Any) -> str:
    """Return a text that is the same for values that JSON calls the same."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int | float):
        return repr(float(value) + 0.0)
    if isinstance(value, list):
        return f"[{','.join(map(canonical, value))}]"
    if isinstance(value, dict):
        members = (f"{name!r}:{canonical(value[name])}" for name in sorted(value))
        return f"{{{','.join(members)}}}"
    return repr(value)


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return {int: "number", float: "number", str: "text"}.get(type(value), "other")


def naive(document: Any, value: Any) -> bool:  # noqa: C901, PLR0912 - a case for each operator
    """Do what the module's prose says, over the document itself, each time anew."""
    results = []
    for name, operand in document.items():
        same = value is not ABSENT and kind(value) == kind(operand)
        match name:
            case "$and":
                result = all(naive(part, value) for part in operand)
            case "$or":
                result = any(naive(part, value) for part in operand)
            case "$not":
                result = not naive(operand, value)
            case "$eq":
                result = value is not ABSENT and canonical(value) == canonical(operand)
            case "$ne":
                result = not naive({"$eq": operand}, value)
            case "$in":
                result = any(naive({"$eq": item}, value) for item in operand)
            case "$nin":
                result = all(naive({"$ne": item}, value) for item in operand)
            case "$gt":
                result = same and value > operand
            case "$gte":
                result = same and value >= operand
            case "$lt":
                result = same and value < operand
            case "$lte":
                result = same and value <= operand
            case "$exists":
                result = (value is not ABSENT) == operand
            case "$startsWith":
                result = same and value[: len(operand)] == operand
            case "$endsWith":
                result = same and (not operand or value[-len(operand) :] == operand)
            case _:
                inside = value.get(name, ABSENT) if isinstance(value, dict) else ABSENT
                wanted = operand if isinstance(operand, dict) else {"$eq": operand}
                result = naive(wanted, inside)
        results.append(result)
    return all(results)


@given(document=filters, data=st.dictionaries(names, values, max_size=3))
def test_a_compiled_filter_is_what_its_document_says(document: Any, data: Any) -> None:
    compiled = compile_filter(document)

    assert compiled.holds(data) is naive(document, data)
    assert (compiled.reason(data) is None) is compiled.holds(data)
    assert read_filter(json.dumps(document)).holds(data) is compiled.holds(data)


@given(left=values, right=values)
@example(left=True, right=1)
@example(left=0.0, right=False)
@example(left=1, right=1.0)
@example(left=[{"a": 1}], right=[{"a": True}])
def test_values_are_equal_as_json_has_it(left: Any, right: Any) -> None:
    assert equal(left, right) is (canonical(left) == canonical(right))


@pytest.mark.parametrize(
    ("document", "data", "reason"),
    [
        ({"a": "x"}, {}, 'filter.a: nothing there against "x"'),
        ({"a": {"b": {"$gt": 1}}}, {"a": {"b": 1}}, "filter.a.b.$gt: 1 against 1"),
        ({"a": True, "b": {"$in": [1]}}, {"a": True, "b": 2}, "filter.b.$in: 2 against [1]"),
        ({"$or": [{"a": 1}, {"a": 2}]}, {"a": 3}, "filter.$or: none of the 2 holds"),
        ({"$not": {"a": 1}}, {"a": 1.0}, "filter.$not: what must not hold does"),
        ({"$and": [{"a": 1}, {"b": 1}]}, {"a": 1}, "filter.$and[1].b: nothing there against 1"),
        ({"a": "x"}, {"a": "\ud800"}, 'filter.a: "\\ud800" against "x"'),
    ],
)
def test_what_does_not_hold_is_named_with_its_path(document: Any, data: Any, reason: str) -> None:
    assert compile_filter(document).reason(data) == reason


def nested(depth: int) -> Any:
    return {"a": nested(depth - 1)} if depth else 1


@pytest.mark.parametrize(
    ("document", "path", "words"),
    [
        ([], "", "must be an object, not []"),
        ({}, "", "is empty"),
        ({"a": {}}, ".a", "is empty"),
        ({"a": [1]}, ".a", '{"$in": […]}'),
        ({"a": {"$gte": True}}, ".a.$gte", "must be a number or a text, not true"),
        ({"a": {"$lt": None}}, ".a.$lt", "must be a number or a text, not null"),
        ({"a": {"$exists": 1}}, ".a.$exists", "must be true or false, not 1"),
        ({"a": {"$startsWith": 1}}, ".a.$startsWith", "must be a text, not 1"),
        ({"a": {"$in": 1}}, ".a.$in", "an array of 1 to 100 items"),
        ({"a": {"$nin": []}}, ".a.$nin", "an array of 1 to 100 items"),
        ({"$or": [{"a": 1}, 2]}, ".$or[1]", "must be an object, not 2"),
        ({"$and": {"a": 1}}, ".$and", "an array of 1 to 100 items"),
        ({"$not": 1}, ".$not", "must be an object, not 1"),
        ({"a": {"$regex": "x"}}, ".a.$regex", "$regex is not an operator; known: $eq, $ne"),
        ({f"a{n}": n for n in range(CONDITIONS_MAX + 1)}, ".a64", "64 are allowed"),
        ({"a": "x" * 4_100}, "", "bytes as JSON; 4096 are allowed"),
        (nested(DEPTH_MAX + 1), ".a" * DEPTH_MAX, "is nested deeper than 8 levels"),
        ({"a": {"$eq": nested(DEPTH_MAX)}}, ".a.$eq", "is nested deeper than 8 levels"),
        ({"a": {"$in": [[[[[[[[[1]]]]]]]]]}}, ".a.$in", "is nested deeper than 8 levels"),
    ],
)
def test_what_is_no_filter_is_refused_with_its_path(document: Any, path: str, words: str) -> None:
    with pytest.raises(FilterError) as caught:
        compile_filter(document)

    assert caught.value.path == path
    assert words in caught.value.reason


def test_the_largest_filter_is_taken() -> None:
    compile_filter({f"a{n}": n for n in range(CONDITIONS_MAX)})
    compile_filter(nested(DEPTH_MAX))
    compile_filter({"a": {"$eq": nested(DEPTH_MAX - 1)}})


@pytest.mark.parametrize("text", ["", "[]", '{"a":{"$later":1}}', "{", '{"a":{}}'])
def test_a_stored_filter_that_this_release_does_not_know_is_unreadable(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_filter(text)
