"""Properties of the JavaScript-stable renderer that need no JavaScript at hand to be checked."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.rendering import javascript
from shared.rendering.javascript import NotRepresentable, RenderError, canonicalise, validate
from tests.support.json_corpus import KEYS, NUMBERS, NUMBERS_REFUSED, STRINGS, documents


def members(keys: st.SearchStrategy[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(keys, values), max_size=6)
    return pairs.map(lambda found: "{" + ",".join(f"{k} :{v}" for k, v in found) + "}")


LITERALS = st.one_of(
    st.sampled_from([*NUMBERS, *NUMBERS_REFUSED, "true", "false", "null"]),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers().map(str),
    st.text().map(json.dumps),
    st.text().map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.lists(st.sampled_from(STRINGS), max_size=4).map(lambda pieces: f'"{"".join(pieces)}"'),
)
NAMES = st.one_of(
    st.sampled_from(KEYS).map(lambda key: f'"{key}"'),
    st.integers(-1, 2**33).map(lambda index: f'"{index}"'),
    st.text(max_size=3).map(json.dumps),
)
TEXTS = st.recursive(
    LITERALS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6).map(lambda values: "[ " + " ,".join(values) + "]"),
        members(NAMES, inner),
    ),
    max_leaves=20,
).map(str.encode)
FRAGMENTS = st.lists(
    st.sampled_from(
        [bytes([c]) for c in b'{}[],: \t\n"\\/-+.eE0123456789utfnab']
        + [b'"a"', b'"a":', b'"1":', b"true", b"null", b"\\u00", b"\\ud83d", b"\\ude00", b"1e400"]
        + [b"\xc3\xa9", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"\xff", b"\x00", b"\x1f", b"\x7f"]
    ),
    max_size=12,
).map(b"".join)


@given(TEXTS)
def test_the_result_is_a_fixed_point(raw: bytes) -> None:
    try:
        printed = canonicalise(raw)
    except NotRepresentable:
        return
    assert canonicalise(printed) == printed
    validate(printed)


@given(TEXTS | FRAGMENTS)
def test_where_the_path_of_c_calls_answers_it_says_what_the_other_path_says(raw: bytes) -> None:
    fast = javascript._render_fast(raw)
    if fast is not None:
        assert fast == javascript._render_slow(raw)
    if javascript._is_valid_fast(raw):
        javascript._read(raw)


@pytest.mark.parametrize("seed", [1, 2])
def test_both_paths_agree_on_the_corpus(seed: int) -> None:
    answered = 0
    for document in documents(seed, 1500):
        fast = javascript._render_fast(document)
        if fast is not None:
            answered += 1
            assert fast == javascript._render_slow(document)
    assert answered > 50


def test_both_paths_agree_on_every_character() -> None:
    units = [code for code in range(0x10000) if not 0xD800 <= code < 0xE000]
    escaped = ('"' + "".join(f"\\u{code:04X}" for code in units) + '"').encode()
    plain = json.dumps("".join(map(chr, [*units[32:], 0x10000, 0x10FFFF])), ensure_ascii=False)
    for text in (escaped, plain.encode()):
        fast = javascript._render_fast(text)
        assert fast is not None
        assert fast == javascript._render_slow(text)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"code_id":"qr_abc123","short_code":"r7f3Kx","country":"AT","n":12,"ok":true,"x":null}',
        b'{"line1": "M\\u00fcnchen", "note": "12345678901234567890", "at": "10:00:00.000Z"}',
        b'{"lat":48.2081743,"lon":-16.37,"share":1.0,"tags":[["a"],{"b":-3}]}',
    ],
)
def test_everyday_events_take_the_path_of_c_calls(raw: bytes) -> None:
    assert javascript._render_fast(raw) is not None
    assert javascript._is_valid_fast(raw)


@given(FRAGMENTS | st.binary(max_size=20))
def test_no_bytes_raise_anything_but_a_render_error(raw: bytes) -> None:
    for judge in (canonicalise, validate):
        with contextlib.suppress(RenderError):
            judge(raw)


def test_the_corpus_is_legal_repeatable_and_nine_tenths_representable() -> None:
    corpus = list(documents(7, 1000))
    assert corpus == list(documents(7, 1000))
    assert corpus != list(documents(8, 1000))
    refused = 0
    for document in corpus:
        validate(document)
        assert re.match(rb"\s*\{", document)
        try:
            canonicalise(document)
        except NotRepresentable:
            refused += 1
    assert 50 < refused < 150
