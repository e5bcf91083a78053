"""JSON text as JavaScript would print it: the bytes of ``JSON.stringify(JSON.parse(raw))``.

QR3's guide verifies a webhook's signature over ``JSON.stringify(req.body)``, the body parsed and
printed again by JavaScript. A body passes only if it is a fixed point of that function, so this
module turns a producer's JSON into one. In the words of ECMA-262 that is:

* no white space; strings in raw UTF-8, escaped as ``QuoteJSONString`` does: the quotation mark, the
  backslash, control characters (``\\b \\f \\n \\r \\t``, else ``\\u00xx``) and lone surrogates
  (``\\udxxx``), hexadecimals in lower case, and nothing else;
* numbers as ``Number::toString`` prints the nearest double: ``1e21`` is ``1e+21``, ``1.0`` is
  ``1``, ``-0`` is ``0``, ``0.0000001`` is ``1e-7``;
* keys that are array indices ("0" to "4294967294") first, ascending, then the others in the order
  of their first appearance; of a key's duplicates, in whatever spelling, the last value counts.

No integer reaches a receiver with other digits than the producer wrote: an integer literal passes
if JavaScript prints the same integer back, else it is refused. (To be an exact double is not
enough: 2**60 is one, but is printed as 1152921504606847000.) A literal with a point or an exponent
is rounded to the nearest double instead: that is what readers of JSON make of it (RFC 8259,
section 6), so the shortest text of that double is the same number to them; by the same rule 1e-400
is ``0``. What rounds to infinity is refused, because JavaScript prints ``null`` for it.

Each call first tries a path of C calls, which gives up on whatever it cannot prove to be right; the
path behind it reads token by token, without recursion. Neither looks back, so time grows with the
size of the input, which the caller bounds, whatever is in it. Pure: imports msgspec and the
standard library's ``re`` and ``math``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import accumulate, islice
from typing import Final, TypeAlias

import msgspec

DEPTH_MAX: Final = 500
"""How many arrays and objects may be open at once. With the envelope around it a body stays within
512, where PHP's ``json_decode`` stops by default."""

_QUOTE_CHARS_MAX: Final = 40  # of the producer's text in a reason
_PATH_CHARS_MAX: Final = 200


class RenderError(ValueError):
    """The text cannot be sent as it is. ``reason`` names the trouble and the fix.

    ``path`` is the JSON pointer (RFC 6901) of the value at fault, cut to 200 characters; it is ""
    when the fault is in the text as a whole.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.path = path


class NotJson(RenderError):
    """The bytes are not an RFC 8259 text in valid UTF-8 that is nested at most ``DEPTH_MAX``."""


class NotRepresentable(RenderError):
    """The bytes are JSON, but JavaScript would alter a number in them.

    A number that a later duplicate of its key replaces is of no account: nobody gets it.
    """


def canonicalise(raw: bytes) -> bytes:
    """Return the bytes that JavaScript's ``JSON.stringify(JSON.parse(raw))`` would print, in UTF-8.

    Raises ``NotJson`` and ``NotRepresentable``, nothing else. The result is a fixed point:
    ``canonicalise(canonicalise(raw)) == canonicalise(raw)``.
    """
    printed = _render_fast(raw)
    return _render_slow(raw) if printed is None else printed


def validate(raw: bytes) -> None:
    """Raise ``NotJson`` unless ``raw`` is JSON that a profile may send untouched.

    Numbers of any size, lone surrogate escapes and duplicate keys are legal JSON and pass.
    """
    if not _is_valid_fast(raw):
        _read(raw)


# --- The path of C calls ------------------------------------------------------------------------

_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_INDEX_KEY_SHAPE: Final = re.compile(rb'"0++":')
_LONG_INTEGER_SHAPE: Final = re.compile(rb"(?:^|[\[,:])-?0{16}")
_CLOSED_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_NO_BRACKETS: Final = bytes(set(range(256)).difference(b"[]{}"))
_STEPS: Final = dict(zip(b"[]{}", (1, -1, 1, -1), strict=True))
_UNSURE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def _decimal(literal: str) -> msgspec.Raw:
    return msgspec.Raw(_number(literal).encode())


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(float_hook=_decimal).decode
_skip: Final = msgspec.json.Decoder(msgspec.Raw).decode


def _render_fast(raw: bytes) -> bytes | None:
    """Return what JavaScript prints, or None when that is not certain.

    msgspec decodes by RFC 8259's grammar and refuses bad UTF-8 (and lone surrogates); a dict treats
    duplicate keys as JavaScript's objects do; the encoder escapes strings as JavaScript does;
    decimals are printed by ``_number``. That leaves integers of more than 15 digits and the place
    of integer-like keys, and both show in ``shape``, the printed text with every digit set to 0.
    """
    try:
        printed = _encode(_decode(raw))
    except _UNSURE:
        return None
    shape = printed.translate(_ZEROS)
    if shape.find(b'0":') >= 0 and _INDEX_KEY_SHAPE.search(shape):
        return None
    if shape.find(b"0000000000000000") >= 0 and _LONG_INTEGER_SHAPE.search(shape):
        return None
    return None if _is_too_deep(raw) else printed


def _is_valid_fast(raw: bytes) -> bool:
    """Return True if ``raw`` is certainly valid.

    msgspec skips a ``Raw`` value by RFC 8259's grammar, but does not look at its UTF-8, refuses
    lone surrogate escapes, and ends in RecursionError when the text is deep.
    """
    try:
        _skip(raw)
        return (raw.isascii() or bool(raw.decode())) and not _is_too_deep(raw)
    except _UNSURE:
        return False


def _is_too_deep(raw: bytes) -> bool:
    """Tell whether valid JSON is nested deeper than ``DEPTH_MAX``; looks closer only if it must."""
    if len(raw) <= 2 * DEPTH_MAX or raw.count(b"[") + raw.count(b"{") <= DEPTH_MAX:
        return False
    brackets = _CLOSED_STRING.sub(b"", raw).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > DEPTH_MAX


# --- The path for everything else: reading ------------------------------------------------------

# A string in canonical escapes, a number or word as it was read, or a container of them. The keys
# of an object are strings in canonical escapes with quotation marks and a colon: '"id":'.
_Node: TypeAlias = "str | list[_Node] | dict[str, _Node]"
_Container: TypeAlias = "list[_Node] | dict[str, _Node]"

# One token per match, a string together with the colon behind it. What is no token matches to the
# end of the text with an empty group. Possessive throughout: hostile input costs linear time.
_TOKEN: Final = re.compile(
    r"""
    [ \t\n\r]*+ (?: (
        " (?: [^"\\\x00-\x1f]++ | \\ (?: ["\\/bfnrt] | u[0-9a-fA-F]{4} ) )*+ " (?: [ \t\n\r]*+ : )?+
      | [\[\]{},]
      | -?+ (?: 0 | [1-9][0-9]*+ ) (?: \.[0-9]++ )?+ (?: [eE][+-]?+[0-9]++ )?+
      | true | false | null
    ) | .++ )
    """,
    re.VERBOSE | re.DOTALL,
)
_OPEN_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_SPACE: Final = " \t\n\r"

# The kinds of token ("key" and "value" for those that are not their own kind), by what is due.
_PUNCTUATION: Final = frozenset(("{", "}", "[", "]", ",", ""))
_VALUE: Final = frozenset(("value", "{", "["))
_KEY: Final = frozenset(("key",))
_FIRST: Final = {dict: _KEY | {"}"}, list: _VALUE | {"]"}}
_LATER: Final = {dict: _KEY, list: _VALUE}
_AFTER: Final = {dict: frozenset((",", "}")), list: frozenset((",", "]"))}
_END: Final[frozenset[str]] = frozenset()


def _read(raw: bytes) -> _Node:
    """Return the value of a JSON text. Nesting is kept in a list: Python's stack has no say."""
    text = _text(raw)
    top: list[_Node] = []
    node: _Container = top
    above: list[_Container] = []
    key = ""
    due = _VALUE
    for index, token in enumerate(_TOKEN.findall(text.rstrip(_SPACE))):
        kind = token if token in _PUNCTUATION else "key" if token[-1] == ":" else "value"
        if kind not in due:
            raise NotJson(_refusal(text, index, due))
        if kind == "key":
            key = _string(token[:-1].rstrip(_SPACE)) + ":"
            due = _VALUE
        elif kind == ",":
            due = _LATER[type(node)]
        elif kind in ("{", "["):
            if len(above) == DEPTH_MAX:
                raise NotJson(f"more than {DEPTH_MAX} arrays and objects inside one another")
            child: _Container = {} if kind == "{" else []
            _add(node, key, child)
            above.append(node)
            node = child
            due = _FIRST[type(node)]
        else:
            if kind == "value":
                _add(node, key, _string(token))
            else:
                node = above.pop()
            due = _AFTER[type(node)] if above else _END
    if due:
        raise NotJson("the text ends before its value is complete")
    return top[0]


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise NotJson(f"not valid UTF-8 at byte {error.start}") from None


def _add(node: _Container, key: str, value: _Node) -> None:
    if isinstance(node, dict):
        node[key] = value  # a duplicate keeps its first place, as in JavaScript
    else:
        node.append(value)


def _refusal(text: str, index: int, due: frozenset[str]) -> str:
    """Say why token ``index`` of the text may not stand where it does, and where that is."""
    match = next(islice(_TOKEN.finditer(text), index, None))
    start = match.end() - len(match[0].lstrip(_SPACE))
    wrong = f"unexpected {text[start]!a}" if due else "more text after the value"
    if match[1] is None and (string := _OPEN_STRING.match(text, start)):
        start = string.end()
        if start == len(text):
            return "the text ends inside a string"
        wrong = "bad escape" if text[start] == "\\" else "unescaped control character"
    return f"{wrong} at byte {len(text[:start].encode())}"


# --- The path for everything else: printing -----------------------------------------------------

_INDEX_KEY: Final = re.compile(r'"(?:0|[1-9][0-9]{0,9})":')
_INDEX_MAX: Final = 2**32 - 2  # ECMA-262, "array index"
_INTEGER_DIGITS_SAFE: Final = 15  # an integer this short is a double that is printed as it is
_ESCAPE: Final = re.compile(
    r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\(.)"
)
_SHORT_ESCAPES: Final = {
    0x08: r"\b", 0x09: r"\t", 0x0A: r"\n", 0x0C: r"\f", 0x0D: r"\r", 0x22: r"\"", 0x5C: r"\\",
}  # fmt: skip


def _render_slow(raw: bytes) -> bytes:
    """Return what JavaScript prints; raise ``RenderError`` when that cannot be sent."""
    root = _read(raw)
    pieces: list[str] = []
    path: list[str] = []
    step = ""
    levels = [iter([(step, root)])]
    try:
        while levels:
            for step, part in levels[-1]:
                if isinstance(part, str):
                    pieces.append(_number(part) if part[0] in "-0123456789" else part)
                else:
                    path.append(step)
                    levels.append(_parts(part))
                    break
            else:
                levels.pop()
                del path[-1:]
    except NotRepresentable as error:
        raise NotRepresentable(error.reason, _pointer([*path, step])) from None
    return "".join(pieces).encode()


def _parts(node: _Container) -> Iterator[tuple[str, _Node]]:
    """Yield what a container is printed from, each part with its step in a JSON pointer."""
    if isinstance(node, dict):
        lead = "{"
        for key in _ordered(node):
            yield "", lead + key
            yield key[1:-2], node[key]
            lead = ","
        yield "", "}" if node else "{}"
    else:
        lead = "["
        for index, value in enumerate(node):
            yield "", lead
            yield str(index), value
            lead = ","
        yield "", "]" if node else "[]"


def _ordered(keys: dict[str, _Node]) -> list[str]:
    """Return an object's keys as ``OrdinaryOwnPropertyKeys`` does: array indices come first."""
    indices = {
        key: index
        for key in keys
        if _INDEX_KEY.fullmatch(key) and (index := int(key[1:-2])) <= _INDEX_MAX
    }
    return [*sorted(indices, key=indices.__getitem__), *(k for k in keys if k not in indices)]


def _pointer(steps: list[str]) -> str:
    """Return the JSON pointer that leads through ``steps``; the first is the text itself."""
    path = "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps[1:])
    return _cut(path, _PATH_CHARS_MAX)


def _string(token: str) -> str:
    """Return a string as JavaScript prints it; one way for each string, so keys can be compared."""
    return _ESCAPE.sub(_escape, token) if "\\" in token else token


def _escape(match: re.Match[str]) -> str:
    high, low, unit, char = match.groups()
    if char:
        return "/" if char == "/" else match[0]
    if high:
        return chr(0x10000 + (int(high, 16) - 0xD800) * 0x400 + int(low, 16) - 0xDC00)
    code = int(unit, 16)
    if short := _SHORT_ESCAPES.get(code):
        return short
    return f"\\u{code:04x}" if code < 0x20 or 0xD800 <= code < 0xE000 else chr(code)


def _number(literal: str) -> str:
    """Print a literal's double; raise ``NotRepresentable`` if that alters an integer."""
    if literal.isdecimal() and len(literal) <= _INTEGER_DIGITS_SAFE:
        return literal
    value = float(literal)
    if math.isinf(value):
        trouble = f"the number {_cut(literal, _QUOTE_CHARS_MAX)} is infinite in JavaScript"
        raise NotRepresentable(f"{trouble}; send it as a string")
    printed = _double(value)
    if value and literal.lstrip("-").isdecimal() and _digits(printed) != literal:
        trouble = f"the integer {_cut(literal, _QUOTE_CHARS_MAX)} is {printed} in JavaScript"
        raise NotRepresentable(f"{trouble}; send it as a string")
    return printed


def _double(value: float) -> str:
    """Print a finite double as ECMA-262's ``Number::toString(value, 10)`` does.

    ``repr`` finds the same shortest digits, but writes exponents in another way and elsewhere:
    below 1e-4 and from 1e16 on, where JavaScript does below 1e-6 and from 1e21 on.
    """
    if not value:
        return "0"  # -0 too
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        return mantissa.removesuffix(".0")
    sign = "-" if value < 0 else ""
    digits = mantissa.lstrip("-").replace(".", "")
    power = int(exponent)
    if 0 < power < 21:
        return sign + digits.ljust(power + 1, "0")
    if -7 < power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{digits}"
    point = "." if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{point}{digits[1:]}e{power:+d}"


def _digits(printed: str) -> str:
    """Write an integer that JavaScript printed, with an exponent or without, in digits only."""
    mantissa, _, exponent = printed.partition("e")
    whole, _, fraction = mantissa.partition(".")
    return whole + fraction.ljust(int(exponent or 0), "0")


def _cut(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else f"{text[: chars_max - 1]}…"
