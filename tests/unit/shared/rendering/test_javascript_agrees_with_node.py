"""``canonicalise`` against JavaScript itself.

For every input, nested no deeper than ``DEPTH_MAX``, one of these holds: both give the same bytes;
both refuse; or ``canonicalise`` alone refuses, because a number would be altered by a second,
independent reckoning.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.rendering.javascript import (
    DEPTH_MAX,
    NotJson,
    NotRepresentable,
    canonicalise,
    validate,
)
from tests.support.json_corpus import KEYS, NUMBERS, NUMBERS_REFUSED, STRINGS, documents
from tests.unit.shared.rendering.oracle import JavaScript

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def node() -> Iterator[JavaScript]:
    with JavaScript() as running:
        yield running


def check(node: JavaScript, raw: bytes) -> None:
    """Fail unless ``canonicalise`` and ``validate`` say of ``raw`` what JavaScript says."""
    expected = node.stringify_parse(raw)
    try:
        printed = canonicalise(raw)
    except NotJson:
        assert expected is None, "JSON.parse accepts it"
        with pytest.raises(NotJson):
            validate(raw)
        return
    except NotRepresentable:
        assert expected is not None, "JSON.parse refuses it"
        assert alters(raw), "JavaScript keeps every number"
        validate(raw)
        return
    assert printed == expected
    assert not alters(raw), "JavaScript alters a number"
    validate(raw)


class Literal(str):
    """A number as it was written."""

    __slots__ = ()


def alters(raw: bytes) -> bool:
    """Tell whether JavaScript would alter a number in a text that is known to be JSON.

    By Python's own JSON reader and decimals: an integer is altered when the shortest text of its
    double is another integer, any number when its double is infinite.
    """
    due = [json.loads(raw, parse_int=Literal, parse_float=Literal)]
    while due:
        value = due.pop()
        if isinstance(value, Literal):
            double = float(value)
            if math.isinf(double):
                return True
            if value.lstrip("-").isdigit() and Decimal(repr(double)) != Decimal(value):
                return True
        elif isinstance(value, dict):
            due += value.values()
        elif isinstance(value, list):
            due += value
    return False


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_document_of_the_corpus_is_rendered_as_node_renders_it(
    node: JavaScript, seed: int
) -> None:
    for document in documents(seed, 1500):
        check(node, document)


@pytest.mark.parametrize("literal", [*NUMBERS, *NUMBERS_REFUSED])
def test_numbers_on_the_borders_are_printed_as_node_prints_them(
    node: JavaScript, literal: str
) -> None:
    check(node, literal.encode())
    check(node, b'{"a":[%s]}' % literal.encode())


def test_the_borders_of_every_decade_are_printed_as_node_prints_them(node: JavaScript) -> None:
    borders = [float(f"{digits}e{power}") for power in range(-324, 308) for digits in (1, 9.995)]
    around = [
        value
        for border in borders
        for value in (math.nextafter(border, 0), border, math.nextafter(border, math.inf))
    ]
    check(node, json.dumps(around).encode())
    check(node, json.dumps([-value for value in around]).encode())


@given(st.lists(st.integers(0, 2**64 - 1), min_size=50, max_size=50))
def test_any_double_is_printed_as_node_prints_it(node: JavaScript, patterns: list[int]) -> None:
    doubles = [struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in patterns]
    finite = [value for value in doubles if math.isfinite(value)]
    check(node, json.dumps(finite).encode())
    check(node, ("[" + ",".join(f"{value:.20e}" for value in finite) + "]").encode())


@given(st.integers(0, 400), st.integers(-(2**70), 2**70))
def test_any_integer_is_kept_or_refused(node: JavaScript, zeros: int, integer: int) -> None:
    check(node, str(integer).encode())
    check(node, str(integer).encode() + b"0" * zeros)
    check(node, str(1 << zeros).encode())


def test_every_character_is_printed_as_node_prints_it(node: JavaScript) -> None:
    check(node, ('"' + "".join(f"\\u{code:04X}" for code in range(0x10000)) + '"').encode())
    plain = [*range(0x20, 0xD800), *range(0xE000, 0x20000), 0x10FFFE, 0x10FFFF]
    check(node, json.dumps("".join(map(chr, plain)), ensure_ascii=False).encode())


@given(st.lists(st.sampled_from(STRINGS), max_size=6))
def test_escapes_in_any_sequence_are_printed_as_node_prints_them(
    node: JavaScript, pieces: list[str]
) -> None:
    check(node, f'"{"".join(pieces)}"'.encode())


@given(st.lists(st.sampled_from(KEYS) | st.integers(2**31 - 2, 2**32 + 1).map(str), max_size=9))
def test_keys_in_any_sequence_are_ordered_as_node_orders_them(
    node: JavaScript, keys: list[str]
) -> None:
    text = ",".join(f'"{key}":{place}' for place, key in enumerate(keys))
    check(node, f"{{{text}}}".encode())
    check(node, f'[{{"a":{{{text}}},"0":{{{text}}}}}]'.encode())


MUTANTS = st.sampled_from(
    [bytes([c]) for c in b'{}[],:"\\/-+.eE0159utfn \t\n\r\x00\x1f\x7f\xc3\xed\xff']
    + [
        b"",
        b'"a":',
        b'"0":',
        b"\\ud83d",
        b"\\u0031",
        b"1e400",
        b"9007199254740993",
        b"\xef\xbb\xbf",
    ]
)


@settings(max_examples=300)
@given(st.integers(0, 2**32), st.lists(st.tuples(st.floats(0, 1), MUTANTS), min_size=1, max_size=3))
def test_damaged_documents_are_refused_or_rendered_as_by_node(
    node: JavaScript, seed: int, mutations: list[tuple[float, bytes]]
) -> None:
    for document in documents(seed, 3):
        damaged = document
        for place, mutant in mutations:
            at = int(place * (len(damaged) - 1))
            damaged = damaged[:at] + mutant + damaged[at + 1 :]
        check(node, damaged)


@given(st.lists(MUTANTS | st.sampled_from([b'"a"', b"true", b"null", b"12"]), max_size=10))
def test_any_sequence_of_tokens_is_refused_or_rendered_as_by_node(
    node: JavaScript, tokens: list[bytes]
) -> None:
    check(node, b"".join(tokens))


def test_random_bits_in_a_document_are_refused_or_rendered_as_by_node(node: JavaScript) -> None:
    rng = Random(20260315)
    for document in documents(4, 1000):
        damaged = bytearray(document)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        check(node, bytes(damaged))


def test_deep_documents_are_rendered_as_by_node_up_to_the_limit(node: JavaScript) -> None:
    half = DEPTH_MAX // 2
    check(node, b'[{"b":1,"0":' * half + b"1" + b"}]" * half)
    check(node, b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)
