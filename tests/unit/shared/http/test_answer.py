"""The answer reader: which bytes are an answer, however they are cut into pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http.answer import AnswerReader
from shared.http.limits import HEAD_BYTES_MAX, RESPONSE_BYTES_MAX

ANSWERS = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True),
    (b"HTTP/1.1 200 OK\r\ncontent-length:2\r\n\r\nok", 200, b"ok", True),
    (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b"", True),
    (b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 200, b"", True),
    (b"HTTP/1.1 404 Gr\xfcn\r\nContent-Length: 0\r\nX: \xfc\r\n\r\n", 404, b"", True),
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b"", True),
    (b"HTTP/1.1 599 X\r\nContent-Length: 0\r\n\r\n", 599, b"", True),
    (b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n", 999, b"", True),
    (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, b"ok", True),
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", True),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\no\r\n01\r\nk\r\n0\r\n\r\n",
        200,
        b"ok",
        True,
    ),
    (
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
            b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"
        ),
        200,
        b"ok",
        True,
    ),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        200,
        b"ok",
        True,
    ),
    (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        200,
        b"ok",
        True,
    ),
    (
        (
            b"HTTP/1.1 102 Processing\r\nContent-Length: 9\r\n\r\n"
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n"
        ),
        503,
        b"",
        True,
    ),
    (
        b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nok",
        200,
        b"ok",
        True,
    ),
]


def read(*pieces: bytes, room: int = 100) -> AnswerReader:
    reader = AnswerReader()
    reader.room = room
    for piece in pieces:
        reader.feed(piece)
    return reader


@pytest.mark.parametrize(("raw", "status", "body", "keep_alive"), ANSWERS)
def test_an_answer_is_the_same_wherever_its_bytes_are_cut(
    raw: bytes, status: int, body: bytes, keep_alive: bool
) -> None:
    whole = read(raw)
    readers = [whole, read(*(raw[at : at + 1] for at in range(len(raw))))]
    readers += [read(raw[:at], raw[at:]) for at in range(1, len(raw))]

    for reader in readers:
        assert reader.fault is None
        assert reader.complete
        assert (reader.status, reader.body(), reader.keep_alive) == (status, body, keep_alive)
        assert reader.headers() == whole.headers()
        assert reader.received == len(raw)


@pytest.mark.parametrize("raw", [raw for raw, _, _, _ in ANSWERS])
def test_an_answer_is_not_complete_before_its_last_byte(raw: bytes) -> None:
    reader = AnswerReader()

    assert not reader.feed(raw[:-1])
    assert not reader.complete
    assert reader.feed(raw[-1:])


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"220 mail.example ESMTP\r\n", "not HTTP/1.1"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "not HTTP/1.1"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "not HTTP/1.1"),
        (b"http/1.1 200 OK\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/2 200 OK\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 1000 OK\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 abc OK\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", "status 099 does not exist"),
        (b"HTTP/1.1 000 OK\r\n\r\n", "status 000 does not exist"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "status 101"),
        (
            b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\x00",
            "status 101",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
            "Transfer-Encoding",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok",
            "Content-Length",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nBroken Name: x\r\n\r\n", "header token"),
        (b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n", "header value"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "chunk size"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok!\r\n",
            "Expected LF|CR|chunk",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            "overflow",
        ),
    ],
)
def test_what_is_no_answer_has_a_fault_wherever_it_is_cut(raw: bytes, fault: str) -> None:
    for reader in (read(raw), *(read(raw[:at], raw[at:]) for at in range(1, len(raw)))):
        assert not reader.complete
        assert reader.fault is not None
        assert any(part.lower() in reader.fault.lower() for part in fault.split("|"))


def test_the_header_may_have_so_many_bytes_and_not_one_more() -> None:
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: "
    room = HEAD_BYTES_MAX - len(start) - len(b"\r\n\r\n")
    fits = start + b"z" * room + b"\r\n\r\nok"
    too_long = start + b"z" * (room + 1) + b"\r\n\r\nok"

    for cut in (1, 1_000, HEAD_BYTES_MAX - 1, HEAD_BYTES_MAX, HEAD_BYTES_MAX + 1):
        assert read(fits[:cut], fits[cut:]).body() == b"ok"
        assert read(too_long[:cut], too_long[cut:]).fault == (
            "the answer's header is longer than 32 KiB"
        )


def test_informational_answers_count_for_the_headers_limit() -> None:
    reader = AnswerReader()
    informational = b"HTTP/1.1 100 Continue\r\n\r\n"

    fed = 0
    while not reader.feed(informational):
        fed += len(informational)
        assert fed <= HEAD_BYTES_MAX

    assert reader.fault == "the answer's header is longer than 32 KiB"


def test_reading_stops_when_so_much_was_received_whatever_it_was() -> None:
    reader = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    for _ in range(RESPONSE_BYTES_MAX // 6):
        reader.feed(b"1\r\nz\r\n")
    finished = reader.feed(b"1\r\nz\r\n")

    assert finished
    assert not reader.complete
    assert reader.fault is None
    assert (reader.status, reader.body(), reader.body_truncated) == (200, b"z" * 100, True)


@pytest.mark.parametrize(
    ("headers", "ends"),
    [
        (b"", True),
        (b"Content-Type: text/plain\r\n", True),
        (b"Connection: close\r\n", True),
        (b"Transfer-Encoding: gzip\r\n", True),
        (b"CONTENT-LENGTH: 9\r\n", False),
        (b"Transfer-Encoding: Chunked \r\n", False),
        (b"Transfer-Encoding: gzip, chunked\r\n", False),
    ],
)
def test_only_an_answer_without_a_length_ends_with_the_connection(
    headers: bytes, ends: bool
) -> None:
    reader = read(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n")

    assert not reader.complete
    assert reader.ends_with_connection() is ends


def test_nothing_ends_with_the_connection_before_its_header_is_complete() -> None:
    assert not AnswerReader().ends_with_connection()
    assert not read(b"HTTP/1.1 200 OK\r\nX: y\r\n").ends_with_connection()
    assert not read(b"HTTP/1.1 100 Continue\r\n\r\n").ends_with_connection()


def test_one_reader_reads_answer_after_answer() -> None:
    reader = AnswerReader()
    for raw, status, body, keep_alive in ANSWERS:
        if not keep_alive:
            continue
        reader.room = 100
        assert reader.feed(raw)
        assert (reader.status, reader.body()) == (status, body)
        assert reader.headers() == read(raw).headers()
        reader.reset()


def test_headers_of_informational_answers_are_not_the_answers() -> None:
    reader = read(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    )

    assert reader.headers() == (("Content-Length", "0"),)


def test_trailers_are_not_headers() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader = read(head + b"0\r\nX-Sum: 1\r\n\r\n")

    assert reader.headers() == (("Transfer-Encoding", "chunked"),)


@pytest.mark.parametrize(
    "more",
    [
        b"HTTP/1.1 500 No\r\nX: y\r\nContent-Length: 4\r\n\r\nmore",
        b"HTTP/1.1 500 No\r\nConnection: close\r\n\r\nmore",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 5",
        b"H",
        b"x",
        b"\x00",
    ],
)
def test_what_follows_an_answer_does_not_change_it_but_spoils_the_connection(more: bytes) -> None:
    reader = read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + more)

    assert (reader.complete, reader.fault, reader.keep_alive) == (True, None, False)
    assert (reader.status, reader.body()) == (200, b"ok")
    assert reader.headers() == (("Content-Length", "2"),)


@given(pieces=st.lists(st.binary(max_size=80), max_size=8), valid=st.sampled_from(ANSWERS))
def test_no_bytes_make_the_reader_raise_or_keep_more_than_its_room(
    pieces: list[bytes], valid: tuple[bytes, int, bytes, bool]
) -> None:
    cut = len(valid[0]) // 2
    reader = read(valid[0][:cut], *pieces, valid[0][cut:], *pieces, room=7)

    assert len(reader.body()) <= 7
    if reader.complete:
        assert reader.fault is None
        assert 200 <= reader.status <= 999
