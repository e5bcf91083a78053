"""A seeded stream of hostile JSON objects, to be sent as the ``data`` of events.

Everything is legal RFC 8259 in valid UTF-8, so a refusal can only be for a number that JavaScript
would alter; about one document in ten holds such a number. The same seed gives the same documents.
Pure: the seed is the only source of chance.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from random import Random
from typing import Final

DEPTH_MAX: Final = 60
_REFUSED_SHARE: Final = 0.1  # of documents
_WORK_MAX: Final = 40  # values in an ordinary document, about

NUMBERS: Final = (
    "0", "-0", "1", "-1", "12", "-0.0", "0e0", "-0E-5", "0.0", "1.0", "10.50", "100e-2", "1E2",
    "1e+2", "1e02", "1e-00", "0.1e1", "1e0", "20.0e-1", "0.5", "0.1", "0.30000000000000004",
    "0.1000000000000000055511151231257827", "123456.789e3", "48.2081743", "-16.3738189",
    "33333333.33333332", "4.35", "0.000001", "0.0000001", "1.5e-7", "123e-9", "2e-7", "0.00001",
    "1e-4", "1e15", "1e16", "1e20", "1e21", "1E21", "1.0e+21", "1e22", "1e23", "1e100",
    "123456789012345680000", "100000000000000000000", "1000000000000000000000", "9007199254740991",
    "-9007199254740991", "9007199254740992", "-9007199254740992", "9007199254740994",
    "1152921504606847000", "1774000000000000000", "9007199254740993.0", "9007199254740993e0",
    "123456789012345678901234567890.5", "5e-324", "-5e-324", "4.9406564584124654e-324", "2e-324",
    "3e-324", "9.5e-322", "2.225073858507201e-308", "2.2250738585072011e-308",
    "2.2250738585072014e-308", "1.7976931348623157e308", "-1.7976931348623157E+308",
    "1.7976931348623158e308", "179769313486231570e291", "1e-400", "-1e-99999",
)  # fmt: skip
"""Spellings of numbers that JavaScript can carry, each on some border of its printing."""

NUMBERS_REFUSED: Final = (
    "9007199254740993", "-9007199254740993", "1152921504606846976", "1774000000123456789",
    "9223372036854775807", "-9223372036854775808", "18446744073709551615", "18446744073709551616",
    "12345678901234567890123456789", "100000000000000000001", "1000000000000000000001", "1e309",
    "1e400", "-1e400", "1.7976931348623159e308", "1e99999999999999999999",
    "9" * 308, "9" * 309, "7" * 5000, "-" + "9" * 400 + ".5",
)  # fmt: skip
"""Integers that JavaScript would print with other digits, and numbers beyond its largest."""

STRINGS: Final = (
    *("", " ", "a", "abc", "qr_abc123", "0", "café", "Zürich", "日本語", "😀", "\u2028", "\u2029"),
    *("\u007f", "\u0080", "\u00a0", "\ufeff", "\uffff", "\U0010ffff", "e\u0301", "👩\u200d💻"),
    *("</script>", "{[,:]}", "1e400", "9007199254740993", "2026-03-15T10:00:00.000Z", "?a=b&c=%20"),
    *(r"\"", r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t", r"\\u0041", r"\\\"", r"\u0022"),
    *(r"\u005c", r"\u002f", r"\u0041", r"\u00e9", r"\u00E9", r"\u007f", r"\u2028", r"\u2029"),
    *(r"\uFEFF", r"\uffff", r"\ud83d\ude00", r"\uD83D\uDE00", r"\udbff\udfff", r"\ud83d"),
    *(r"\uDE00", r"\ude00\ud83d", r"\ud83d\ud83d\ude00", r"\ud83dx\ude00", r"\ud800\u0000"),
    *(r"\uDBFF\\uDC00", r"\\ud83d\ude00"),
    *(rf"\u{code:04x}" for code in range(32)),
    *(rf"\u{code:04X}" for code in range(32)),
)
"""Pieces of string literals, as they are written between the quotation marks."""

KEYS: Final = (
    *("", "0", "1", "2", "9", "10", "00", "01", "-0", "-1", "1.0", "1e3", " 1", "007", "100"),
    *("999999999", "2147483647", "2147483648", "4294967294", "4294967295", "4294967296"),
    *("9007199254740993", "__proto__", "constructor", "prototype", "toString", "toJSON", "length"),
    *("hasOwnProperty", "id", "code_id", "line1", "\u06f1", "²", "😀", "\u2028", "/", "a/b~c"),
    *(r"\u0031", r"1\u0030", r"\u005f_proto__", r"\u0069d", r"\ud83d\ude00", r"\ud83d", r"\uDE00"),
    *(r"\u2028", r"\n", r"\u000A", r"\"", r"\u0022:", r"\/", r"\\", r"\u005C"),
)
"""Names that JavaScript orders, merges or treats in a way of its own, several in two spellings."""


def documents(seed: int, count: int) -> Iterator[bytes]:
    """Yield ``count`` JSON objects, up to ``DEPTH_MAX`` deep, from a few bytes to tens of KB."""
    rng = Random(seed)
    for _ in range(count):
        yield _Document(rng, refused=rng.random() < _REFUSED_SHARE).text().encode()


class _Document:
    """Writes one object. ``work`` is what may still be written before only scalars are."""

    def __init__(self, rng: Random, *, refused: bool) -> None:
        self.rng = rng
        self.refused = refused
        self.work = rng.randint(1, _WORK_MAX)
        self.spaces = rng.choice((("",), ("",), ("", " "), ("", "\t", "\r\n", "  ", "\n")))

    def text(self) -> str:
        members = [self.member(1) for _ in range(self.rng.randint(0, 8))]
        if self.rng.random() < 0.05:
            members.append(f'"deep":{self.deep(self.rng.randint(8, DEPTH_MAX - 1))}')
        if self.rng.random() < 0.02:
            members.append(f'"big":{self.array([self.scalar() for _ in range(1000)])}')
        if self.refused:
            number = self.rng.choice(NUMBERS_REFUSED)
            place = self.rng.choice((f'"last":{number}', f'"last":[[{{"1":{number}}}]]'))
            members.append(place)
        return self.space() + self.object(members) + self.space()

    def value(self, depth: int) -> str:
        self.work -= 1
        roll = self.rng.random()
        if self.work < 0 or depth >= 12 or roll < 0.7:
            return self.scalar()
        if roll < 0.88:
            return self.object([self.member(depth + 1) for _ in range(self.rng.randint(0, 6))])
        return self.array([self.value(depth + 1) for _ in range(self.rng.randint(0, 6))])

    def deep(self, levels: int) -> str:
        text = self.scalar()
        for _ in range(levels):
            text = self.object([f"{self.key()}:{text}"]) if self.rng.random() < 0.5 else f"[{text}]"
        return text

    def member(self, depth: int) -> str:
        return f"{self.key()}{self.space()}:{self.space()}{self.value(depth)}"

    def object(self, members: list[str]) -> str:
        return self.joined("{", members, "}")

    def array(self, values: list[str]) -> str:
        return self.joined("[", values, "]")

    def joined(self, opening: str, parts: list[str], closing: str) -> str:
        comma = f"{self.space()},{self.space()}"
        return f"{opening}{self.space()}{comma.join(parts)}{self.space()}{closing}"

    def scalar(self) -> str:
        roll = self.rng.random()
        if roll < 0.45:
            return self.number()
        return self.string() if roll < 0.9 else self.rng.choice(("true", "false", "null"))

    def number(self) -> str:
        roll = self.rng.random()
        if roll < 0.6:
            return self.rng.choice(NUMBERS)
        if roll < 0.8:
            return str(self.rng.randint(-(2**53), 2**53) >> self.rng.randint(0, 53))
        spelling = self.rng.choice(("{!r}", "{:.17e}", "{:.20E}", "{:.3e}"))
        return spelling.format(self.double())

    def double(self) -> float:
        """Return a finite double, every bit pattern as likely as the next."""
        exponent = self.rng.randrange(0x7FE)  # the next one may round to infinity, the last is it
        bits = self.rng.getrandbits(52) | exponent << 52 | self.rng.getrandbits(1) << 63
        (value,) = struct.unpack("<d", struct.pack("<Q", bits))
        assert isinstance(value, float)
        return value

    def string(self) -> str:
        pieces = self.rng.choices(STRINGS, k=self.rng.randint(0, 4))
        return f'"{"".join(pieces)}"'

    def key(self) -> str:
        if self.rng.random() < 0.75:
            return f'"{self.rng.choice(KEYS)}"'
        return self.string()

    def space(self) -> str:
        return self.rng.choice(self.spaces)
