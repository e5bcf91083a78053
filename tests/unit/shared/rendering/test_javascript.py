"""What ``canonicalise`` prints and refuses, rule by rule, and what ``validate`` lets pass.

What JavaScript itself says about the same texts is in ``test_javascript_agrees_with_node``.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.rendering import javascript
from shared.rendering.javascript import NotJson, NotRepresentable, canonicalise, validate


def canonical(text: str) -> str:
    """Return ``canonicalise(text)``, having seen that the longer path alone says the same."""
    printed = canonicalise(text.encode())
    assert javascript._render_slow(text.encode()) == printed
    return printed.decode()


@pytest.mark.parametrize(
    ("literal", "printed"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("0e5", "0"),
        ("-12", "-12"),
        ("1.0", "1"),
        ("1.50", "1.5"),
        ("1E2", "100"),
        ("1e-6", "0.000001"),
        ("0.0000010", "0.000001"),
        ("-0.00001234", "-0.00001234"),
        ("0.0000001", "1e-7"),
        ("-0.00000012", "-1.2e-7"),
        ("1e15", "1000000000000000"),
        ("1e16", "10000000000000000"),
        ("1.5e20", "150000000000000000000"),
        ("100000000000000000000", "100000000000000000000"),
        ("1e21", "1e+21"),
        ("-1.25E21", "-1.25e+21"),
        ("0.1000000000000000055511151231257827", "0.1"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("123456789012345678.5", "123456789012345680"),
        ("5e-324", "5e-324"),
        ("4.9406564584124654e-324", "5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("1e-400", "0"),
        ("-1e-400", "0"),
    ],
)
def test_numbers_are_printed_as_javascript_prints_the_nearest_double(
    literal: str, printed: str
) -> None:
    assert canonical(literal) == printed
    assert canonical(f'{{"n":[{literal}]}}') == f'{{"n":[{printed}]}}'


@pytest.mark.parametrize(
    ("literal", "printed"),
    [
        ("999999999999999", "999999999999999"),
        ("9007199254740991", "9007199254740991"),
        ("9007199254740992", "9007199254740992"),
        ("-9007199254740992", "-9007199254740992"),
        ("9007199254740994", "9007199254740994"),
        ("1152921504606847000", "1152921504606847000"),  # what JavaScript prints for 2**60
        ("1000000000000000000000", "1e+21"),
        ("-1230000000000000000000", "-1.23e+21"),
    ],
)
def test_an_integer_passes_if_javascript_prints_the_same_integer(
    literal: str, printed: str
) -> None:
    assert canonical(literal) == printed


@pytest.mark.parametrize(
    "literal",
    [
        "9007199254740993",
        "-9007199254740993",
        "1152921504606846976",  # 2**60, an exact double that is printed as ...847000
        "1774000000123456789",  # nanoseconds
        "18446744073709551615",
        "1000000000000000000001",
        "9" * 308,
    ],
)
def test_an_integer_that_javascript_would_print_with_other_digits_is_refused(literal: str) -> None:
    with pytest.raises(NotRepresentable, match=r"^/n: the integer -?[0-9…]+ is .*; send it as a"):
        canonicalise(b'{"n":%s}' % literal.encode())


@pytest.mark.parametrize("literal", ["1e400", "-1e309", "1.7976931348623159e308", "9" * 309])
def test_a_number_beyond_the_largest_double_is_refused(literal: str) -> None:
    with pytest.raises(NotRepresentable, match="infinite in JavaScript; send it as a string"):
        canonicalise(b"[%s]" % literal.encode())


def test_a_refused_number_that_a_duplicate_key_replaces_is_of_no_account() -> None:
    assert canonicalise(b'{"a":9007199254740993,"b":1e400,"b":2,"a":1}') == b'{"a":1,"b":2}'


@pytest.mark.parametrize(
    ("literal", "printed"),
    [
        (r'"\"\\\b\f\n\r\t"', r'"\"\\\b\f\n\r\t"'),
        (r'"\/"', '"/"'),
        (r'"\u0041\u00e9\u00E9"', '"Aéé"'),
        (r'"\u0022\u005C\u002F"', r'"\"\\/"'),
        (r'"\u0008\u0009\u000A\u000c\u000D"', r'"\b\t\n\f\r"'),
        (r'"\u0000\u000B\u001F"', r'"\u0000\u000b\u001f"'),
        ('"\x7f\u2028\u2029\ufeff"', '"\x7f\u2028\u2029\ufeff"'),
        (r'"\u007f\u2028\u2029\uFEFF"', '"\x7f\u2028\u2029\ufeff"'),
        (r'"\uD83D\uDE00"', '"😀"'),
        (r'"\uD83D"', r'"\ud83d"'),
        (r'"\uDE00\uD83D"', r'"\ude00\ud83d"'),
        (r'"\uD83D\uD83D\uDE00"', r'"\ud83d😀"'),
        (r'"\\uD83D\\u0041"', r'"\\uD83D\\u0041"'),
        (r'"\\\u0041"', r'"\\A"'),
    ],
)
def test_strings_have_javascripts_escapes_only(literal: str, printed: str) -> None:
    assert canonical(literal) == printed
    assert canonicalise(f"{{{literal}:[{literal}]}}".encode()) == (
        f"{{{printed}:[{printed}]}}".encode()
    )


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ('{"b":1,"10":2,"a":3,"9":4}', '{"9":4,"10":2,"b":1,"a":3}'),
        ('{"a":1,"0":2}', '{"0":2,"a":1}'),
        ('{"a":1,"4294967295":2,"4294967294":3}', '{"4294967294":3,"a":1,"4294967295":2}'),
        ('{"4294967296":1,"99999999999":2,"7":3}', '{"7":3,"4294967296":1,"99999999999":2}'),
        (
            '{"01":1,"-0":2,"1.0":3,"1e1":4,"":5,"1":6}',
            '{"1":6,"01":1,"-0":2,"1.0":3,"1e1":4,"":5}',
        ),
        (r'{"a":1,"\u0031":2}', '{"1":2,"a":1}'),
        ('{"a":1,"\u0661":2,"²":3}', '{"a":1,"\u0661":2,"²":3}'),  # digits, but not ASCII's
        ('{"line1":1,"1":2}', '{"1":2,"line1":1}'),
        ('[{"b":1,"0":[{"c":1,"1":1}]}]', '[{"0":[{"1":1,"c":1}],"b":1}]'),
    ],
)
def test_integer_like_keys_come_first_in_ascending_order(text: str, printed: str) -> None:
    assert canonical(text) == printed


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ('{"a":1,"b":2,"a":3}', '{"a":3,"b":2}'),
        (r'{"a":1,"b":2,"\u0061":3}', '{"a":3,"b":2}'),
        (r'{"\/":1,"b":2,"/":{"b":1,"b":2}}', '{"/":{"b":2},"b":2}'),
        (r'{"\uD83D\uDE00":1,"b":2,"😀":3}', '{"😀":3,"b":2}'),
        (r'{"\uD83D":1,"b":2,"\ud83d":3}', r'{"\ud83d":3,"b":2}'),
        ('{"__proto__":1,"a":2,"__proto__":{"x":3}}', '{"__proto__":{"x":3},"a":2}'),
        ('{"b":2,"1":1,"1":[]}', '{"1":[],"b":2}'),
    ],
)
def test_of_duplicate_keys_the_last_value_stands_in_the_first_place(
    text: str, printed: str
) -> None:
    assert canonical(text) == printed


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (" \t\r\n[ 1 ,\n2 ]\r\n", "[1,2]"),
        ('{ "a b" : [ ] , "c" :\t{ } }', '{"a b":[],"c":{}}'),
        (' { "0" : " " , "b"\n:\n[ { } , "\\ud800" ] } ', '{"0":" ","b":[{},"\\ud800"]}'),
        (" true ", "true"),
        ('"x"\n', '"x"'),
    ],
)
def test_white_space_between_tokens_goes_and_inside_strings_stays(text: str, printed: str) -> None:
    assert canonical(text) == printed


NOT_JSON = [
    (b"", "ends before"),
    (b" \n", "ends before"),
    (b"[1", "ends before"),
    (b'{"a"', "unexpected '\"' at byte 1"),
    (b'{"a":', "ends before"),
    (b'["ab', "ends inside a string"),
    (b'["a\\u00', "bad escape at byte 3"),
    (b"\xef\xbb\xbf{}", r"unexpected '\\ufeff' at byte 0"),
    (b"[\x0b1]", r"unexpected '\\x0b' at byte 1"),
    (b"[\xc2\xa01]", r"unexpected '\\xa0' at byte 1"),
    (b"[NaN]", "unexpected 'N' at byte 1"),
    (b"[-Infinity]", "unexpected '-' at byte 1"),
    (b"[nul]", "unexpected 'n'"),
    (b"[True]", "unexpected 'T'"),
    (b"[truefalse]", "unexpected 'f'"),
    (b"{} {}", "more text after the value at byte 3"),
    (b"1 2", "more text after"),
    (b"{}x", "more text after"),
    (b"01", "more text after"),
    (b"[-01]", "unexpected '1'"),
    (b"[1.]", r"unexpected '\.'"),
    (b"[.5]", r"unexpected '\.'"),
    (b"[1e]", "unexpected 'e'"),
    (b"[1e+]", "unexpected 'e'"),
    (b"[+1]", r"unexpected '\+'"),
    (b"[0x1]", "unexpected 'x'"),
    ("[\u0661]".encode(), "unexpected"),
    (b"[1,]", "unexpected ']'"),
    (b"[,1]", "unexpected ','"),
    (b"[1 2]", "unexpected '2'"),
    (b'{"a":1,}', "unexpected '}'"),
    (b'{"a" 1}', "unexpected '\"'"),
    (b'{"a"::1}', "unexpected ':'"),
    (b'{"a":1 "b":2}', "unexpected '\"'"),
    (b"{1:2}", "unexpected '1'"),
    (b"{'a':1}", 'unexpected "\'"'),
    (b'["a":1]', "unexpected '\"'"),
    (b"[}", "unexpected '}'"),
    (b"{]", "unexpected ']'"),
    (b"[1]]", "more text after"),
    (b"]", "unexpected ']'"),
    (b'"\t"', "unescaped control character at byte 1"),
    (b'["\xc3\xa9\x00"]', "unescaped control character at byte 4"),
    (rb'"\x41"', "bad escape at byte 1"),
    (rb'"\u12g4"', "bad escape"),
    (rb'"\U0041"', "bad escape"),
    (b'"\\\n"', "bad escape"),
    (b"/**/1", "unexpected '/'"),
    (b'"\xff"', "not valid UTF-8 at byte 1"),
    (b'{"a":"\xed\xa0\x80"}', "not valid UTF-8 at byte 6"),  # a surrogate, encoded
    (b'"\xc0\x80"', "not valid UTF-8"),  # an overlong zero
    (b'"\xf4\x90\x80\x80"', "not valid UTF-8"),  # beyond U+10FFFF
    (b'"\xe2\x82"', "not valid UTF-8"),
    ('{"a":1}'.encode("utf-16"), "not valid UTF-8"),
]


@pytest.mark.parametrize(("raw", "reason"), NOT_JSON)
@pytest.mark.parametrize("judge", [canonicalise, validate])
def test_what_is_not_json_is_refused_with_the_place(
    judge: Callable[[bytes], object], raw: bytes, reason: str
) -> None:
    with pytest.raises(NotJson, match=reason) as caught:
        judge(raw)
    assert caught.value.path == ""
    assert str(caught.value) == caught.value.reason


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("1e400", ""),
        ("[1e400]", "/0"),
        ('{"data":{"a":[0,{"x":[],"b":1e400}]}}', "/data/a/1/b"),
        ('{"a/b":{"c~d":[{},[],1e400]}}', "/a~1b/c~0d/2"),
        ('{"z":1,"1":{"":1e400}}', "/1/"),
        (r'{"\u0061\n":1e400}', r"/a\n"),
    ],
)
def test_a_refused_number_is_named_by_a_json_pointer(text: str, path: str) -> None:
    with pytest.raises(NotRepresentable) as caught:
        canonicalise(text.encode())
    assert caught.value.path == path
    assert str(caught.value) == (f"{path}: " if path else "") + caught.value.reason


@pytest.mark.parametrize(
    "raw",
    [
        b"9007199254740993",
        b"1e400",
        b"9" * 5000,
        rb'{"\ud800":["\uDC00\ud83d"]}',
        b'{"a":1,"a":2}',
        b' [ 1.0 , "\xf0\x9f\x98\x80" ] ',
    ],
)
def test_validate_passes_legal_json_that_javascript_would_alter(raw: bytes) -> None:
    validate(raw)
