"""A connection against a transport that only notes what is done to it."""

import asyncio

from shared.http.connection import Connection
from shared.http.exchange import Exchange
from shared.http.messages import Answered, Outcome
from tests.support.raw_server import OK
from tests.unit.shared.http.kit import post


class NotingTransport(asyncio.Transport):
    """Takes what is written; ``backlog`` says how many bytes the peer has not taken yet."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.backlog = 0
        self.dies_after = 1_000
        self.closed: list[str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))
        if len(self.written) == self.dies_after:
            self.closed.append("by the peer")

    def get_write_buffer_size(self) -> int:
        return self.backlog

    def is_closing(self) -> bool:
        return bool(self.closed)

    def close(self) -> None:
        self.closed.append("close")

    def abort(self) -> None:
        self.closed.append("abort")


class NotingOwner:
    def __init__(self) -> None:
        self.heard: list[str] = []
        self.outcomes: list[Outcome] = []

    def opened(self, _: Connection) -> None:
        self.heard.append("opened")

    def free(self, _: Connection, __: float) -> None:
        self.heard.append("free")

    def settled(self, _: Exchange, outcome: Outcome) -> None:
        self.heard.append("settled")
        self.outcomes.append(outcome)

    def orphaned(self, _: Exchange) -> None:
        self.heard.append("orphaned")

    def lost(self, _: Connection) -> None:
        self.heard.append("lost")


def dialled(body: bytes = b"{}") -> tuple[Connection, NotingTransport, NotingOwner, Exchange]:
    owner = NotingOwner()
    exchange = Exchange(post("http://127.0.0.1/", body), lambda _: None, 0.0)
    connection = Connection(owner, exchange, "127.0.0.1", lambda: 1.0)
    return connection, NotingTransport(), owner, exchange


def connected(body: bytes = b"{}") -> tuple[Connection, NotingTransport, NotingOwner, Exchange]:
    connection, transport, owner, exchange = dialled(body)
    connection.connection_made(transport)
    return connection, transport, owner, exchange


def test_a_small_request_is_one_write() -> None:
    _, transport, owner, _ = connected(b"body")

    assert len(transport.written) == 1
    assert transport.written[0].endswith(b"Content-Length: 4\r\n\r\nbody")
    assert owner.heard == ["opened"]


def test_a_large_body_waits_while_the_receiver_is_full() -> None:
    body = bytes(range(256)) * 1024
    connection, transport, _, _ = dialled(body)
    connection.pause_writing()
    connection.connection_made(transport)
    assert transport.written[-1].endswith(b"\r\n\r\n")

    connection.resume_writing()

    assert b"".join(transport.written).partition(b"\r\n\r\n")[2] == body
    assert max(map(len, transport.written)) <= 65_536


def test_a_body_is_not_written_on_into_a_dead_connection() -> None:
    connection, transport, _, _ = dialled(b"z" * 1_000_000)
    transport.dies_after = 3
    connection.connection_made(transport)

    assert len(transport.written) == 3


def test_a_body_is_not_written_on_after_its_answer_came() -> None:
    connection, transport, owner, _ = dialled(b"z" * 200_000)
    connection.pause_writing()
    connection.connection_made(transport)
    connection.data_received(OK)
    written = len(transport.written)
    connection.resume_writing()

    assert len(transport.written) == written
    assert transport.closed == ["abort"]
    assert owner.heard == ["opened", "settled"]


def test_a_connection_whose_request_is_still_on_its_way_is_not_reused() -> None:
    connection, transport, owner, _ = connected()
    transport.backlog = 1
    connection.data_received(OK)

    assert owner.heard == ["opened", "settled"]
    assert transport.closed == ["abort"]
    assert isinstance(owner.outcomes[0], Answered)


def test_a_connection_is_free_before_its_outcome_is_told() -> None:
    connection, _, owner, _ = connected()
    connection.data_received(OK)

    assert owner.heard == ["opened", "free", "settled"]


def test_a_connection_that_opens_too_late_sends_nothing() -> None:
    connection, transport, owner, exchange = dialled()
    exchange.drop()
    connection.connection_made(transport)
    connection.connection_lost(None)

    assert transport.written == []
    assert transport.closed == ["abort"]
    assert owner.heard == ["opened", "lost"]


def test_the_end_of_the_connection_is_told_once_even_if_the_loop_tells_it_twice() -> None:
    connection, _, owner, _ = connected()
    connection.eof_received()
    connection.connection_lost(None)

    assert owner.heard == ["opened", "settled", "lost"]


def test_an_abandoned_attempt_is_told_nothing() -> None:
    connection, _, owner, exchange = connected()
    exchange.drop()
    connection.connection_lost(None)

    assert owner.heard == ["opened", "lost"]


def test_only_a_reused_connection_without_an_answer_gives_its_attempt_back_and_once() -> None:
    heard, again = [], []
    for reused, resent, bytes_in in [
        (True, False, b""),
        (True, True, b""),
        (False, False, b""),
        (True, False, b"H"),
    ]:
        connection, _, owner, exchange = connected()
        exchange.reused, exchange.resent = reused, resent
        if bytes_in:
            connection.data_received(bytes_in)
        connection.connection_lost(ConnectionResetError())
        heard.append(owner.heard[1])
        again.append(exchange.resent)

    assert heard == ["orphaned", "settled", "settled", "settled"]
    assert again == [True, True, False, False]
