"""The bounds of ``canonicalise`` and ``validate``: nesting, hostile input, the length of errors."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from shared.rendering.javascript import (
    DEPTH_MAX,
    NotJson,
    NotRepresentable,
    RenderError,
    canonicalise,
    validate,
)

MIB = 1 << 20


def refusal_by(judge: Callable[[bytes], object], raw: bytes) -> RenderError | None:
    """Return the error with which a judge refuses the bytes; let any other error through."""
    try:
        judge(raw)
    except RenderError as error:
        return error
    return None


NESTINGS = [(b"[", b"1", b"]"), (b'{"a":', b"1", b"}"), (b'[{"1":', b"{}", b"}]")]


def nest(nesting: tuple[bytes, bytes, bytes], times: int) -> bytes:
    opening, core, closing = nesting
    return opening * times + core + closing * times


@pytest.mark.parametrize("nesting", NESTINGS[:2])
def test_nesting_is_allowed_up_to_the_limit_and_not_beyond(
    nesting: tuple[bytes, bytes, bytes],
) -> None:
    for text in (nest(nesting, DEPTH_MAX), nest(nesting, DEPTH_MAX).replace(b"1", b'"[[[{{{"')):
        assert canonicalise(text) == text
        validate(text)
    for judge in (canonicalise, validate):
        with pytest.raises(NotJson, match=f"more than {DEPTH_MAX} arrays and objects"):
            judge(nest(nesting, DEPTH_MAX + 1))


def test_brackets_in_strings_do_not_count_as_nesting() -> None:
    text = nest((b'["]]",{"[[}":', b"1", b"}]"), DEPTH_MAX // 2)
    assert canonicalise(text) == text
    validate(text)
    for judge in (canonicalise, validate):
        with pytest.raises(NotJson, match="more than"):
            judge(b"[" + text + b"]")


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("times", [3_000, 100_000])
def test_deep_nesting_is_refused_and_not_a_recursion_error(
    nesting: tuple[bytes, bytes, bytes], times: int
) -> None:
    for text in (nest(nesting, times), nesting[0] * times):
        for judge in (canonicalise, validate):
            with pytest.raises(NotJson, match="more than"):
                judge(text)


def test_many_containers_side_by_side_are_not_deep() -> None:
    text = b'[{"a":[]}%s]' % (b',{"[":["]"]}' * (2 * DEPTH_MAX))
    assert canonicalise(text) == text
    validate(text)


def test_the_nesting_that_is_read_does_not_depend_on_the_callers_stack() -> None:
    text = nest((b'{"1":[', b"9007199254740992", b"]}"), DEPTH_MAX // 2)

    def deep_in_the_stack(frames: int) -> bytes:
        if frames:
            return deep_in_the_stack(frames - 1)
        validate(text)
        return canonicalise(text)

    used = len(list(_frames()))
    assert deep_in_the_stack(sys.getrecursionlimit() - used - 40) == text


def _frames() -> list[object]:
    found: list[object] = []
    frame = sys._getframe()
    while frame.f_back:
        found.append(frame)
        frame = frame.f_back
    return found


HOSTILE = {
    "a million digits": b"1" * MIB,
    "a million decimals": b"0." + b"1" * MIB,
    "a huge exponent": b"1e" + b"9" * MIB,
    "a million brackets": b"[" * MIB,
    "a million empty arrays": b"[" + b"[]," * (MIB // 3) + b"[]]",
    "a million quotation marks": b'"' * MIB,
    "escaped quotation marks, no end": b'"' + b'\\"' * (MIB // 2),
    "only spaces": b" " * MIB,
    "spaces before rubbish": b"1" + b" " * MIB + b"x",
    "spaces behind each string": (b'"a"' + b" " * 1000 + b",") * 1000,
    "integer-like keys": b"{" + b",".join(b'"%d":0' % i for i in range(90_000, 0, -1)) + b"}",
    "one key again and again": b"{" + b",".join([b'"a":[1e400]'] * 90_000) + b',"a":0}',
    "a key of a million digits": b'{"' + b"0" * MIB + b'":1,"1":2}',
    "lone surrogates": b'"' + b"\\ud800" * (MIB // 6) + b'"',
    "altered integers": b"[" + b"9007199254740993," * (MIB // 17) + b"0]",
    "a long string inside many objects": b'{"1":' * 500 + b'"' + b"x" * MIB + b'"' + b"}" * 500,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_mebibyte_ends_in_bytes_or_in_a_render_error(name: str) -> None:
    for judge in (canonicalise, validate):
        refusal = refusal_by(judge, HOSTILE[name])
        assert refusal is None or len(str(refusal)) < 400


def test_an_error_quotes_a_bounded_part_of_the_text() -> None:
    with pytest.raises(NotRepresentable) as caught:
        canonicalise(b'{"%s":%s}' % (b"k" * MIB, b"9" * MIB))
    assert len(str(caught.value)) < 400
