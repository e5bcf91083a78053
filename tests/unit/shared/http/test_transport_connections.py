"""The transport's connections: how they end, how they are used again, and how many there are."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from shared.http.limits import Limits
from shared.http.messages import Answered, Outcome, Unanswered
from tests.support.raw_server import (
    OK,
    Peer,
    RawServer,
    answers,
    answers_and_closes,
    by_connection,
    silence,
)
from tests.unit.shared.http.kit import Clock, answered, open_transport, post, unanswered, until

# --- the end of connections ---------------------------------------------------------------------


async def test_an_answer_may_last_until_the_receiver_closes() -> None:
    script = answers_and_closes(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    async with RawServer(script) as server, open_transport() as transport:
        answer = await answered(transport, post(server.url()))
        await answered(transport, post(server.url()))

        assert (answer.body, answer.body_truncated) == (b"all of it", False)
        assert transport.stats.opened_total == 2


async def test_a_half_closed_connection_ends_the_answer_too() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        peer.half_close()
        await peer.until_client_closes()

    async with RawServer(play) as server, open_transport() as transport:
        answer = await answered(transport, post(server.url()))

    assert answer.body == b"all of it"


async def test_a_receiver_that_stops_reading_and_closes_its_side_has_closed() -> None:
    async def play(peer: Peer) -> None:
        await peer.head()
        peer.half_close()
        await asyncio.Event().wait()

    async with RawServer(play) as server, open_transport() as transport:
        outcome = await unanswered(transport, post(server.url(), b"z" * 20_000_000))

        assert outcome.kind == "closed"
        await until(lambda: transport.stats.open == 0, lambda: transport.stats)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"", "127.0.0.1 closed the connection without an answer"),
        (b"HTTP/1.1 2", "127.0.0.1 closed the connection within the answer's header"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome",
            "127.0.0.1 closed the connection within the answer's body",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n9\r\nsome",
            "127.0.0.1 closed the connection within the answer's body",
        ),
    ],
)
async def test_a_connection_that_ends_too_early_is_no_answer_and_is_not_sent_again(
    sent: bytes, message: str
) -> None:
    script = answers_and_closes(sent)
    async with RawServer(script) as server, open_transport() as transport:
        outcome = await unanswered(transport, post(server.url()))

    assert (outcome.kind, outcome.message) == ("closed", message)
    assert outcome.address == "127.0.0.1"
    assert server.accepted == 1


async def test_a_reset_is_no_answer() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        peer.reset()

    async with RawServer(play) as server, open_transport() as transport:
        outcome = await unanswered(transport, post(server.url()))

    assert (outcome.kind, outcome.message) == (
        "closed",
        "127.0.0.1 reset the connection without an answer",
    )


async def test_nobody_listening_is_a_connect_failure() -> None:
    async with RawServer(answers(OK)) as server:
        url = server.url()
    async with open_transport() as transport:
        outcome = await unanswered(transport, post(url))

    assert outcome.kind == "connect"
    assert (
        outcome.message
        == f"cannot connect to {url[7:-1].replace(':', ' port ')}: connection refused"
    )


# --- reuse --------------------------------------------------------------------------------------


async def test_one_connection_serves_many_attempts() -> None:
    async with RawServer(answers(OK)) as server, open_transport() as transport:
        reused = [(await answered(transport, post(server.url()))).timing.reused for _ in range(5)]

        assert reused == [False, True, True, True, True]
        assert server.accepted == 1
        assert (transport.stats.idle, transport.stats.open) == (1, 1)


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!", False),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", False),
    ],
)
async def test_a_connection_is_kept_if_the_receiver_wants_and_nothing_followed_the_answer(
    reply: bytes, kept: bool
) -> None:
    async with RawServer(answers(reply)) as server, open_transport() as transport:
        await answered(transport, post(server.url()))
        await until(lambda: transport.stats.open == int(kept), lambda: transport.stats)

        assert transport.stats.idle == int(kept)


async def test_bytes_that_nobody_asked_for_close_an_idle_connection() -> None:
    more = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await more.wait()
        await peer.send(OK.replace(b"200", b"500"))
        await peer.until_client_closes()

    async with RawServer(play) as server, open_transport() as transport:
        await answered(transport, post(server.url()))
        more.set()
        await until(lambda: transport.stats.open == 0, lambda: transport.stats)
        answer = await answered(transport, post(server.url()))

    assert (answer.status, answer.timing.reused) == (200, False)


@pytest.mark.parametrize("end", [Peer.half_close, Peer.reset, Peer.drop])
async def test_an_idle_connection_that_the_receiver_ends_is_forgotten(
    end: Callable[[Peer], None],
) -> None:
    go = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await go.wait()
        end(peer)
        await peer.until_client_closes()

    async with RawServer(play) as server, open_transport() as transport:
        await answered(transport, post(server.url()))
        go.set()
        await until(lambda: transport.stats.open == 0, lambda: transport.stats)

        assert transport.stats.idle == 0


@pytest.mark.parametrize("end", [Peer.half_close, Peer.reset, Peer.drop])
async def test_an_idle_connection_that_ends_under_the_next_request_costs_nothing_but_a_resend(
    end: Callable[[Peer], None],
) -> None:
    async def answer_once(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()
        end(peer)

    script = by_connection(answer_once, answers(OK))
    async with RawServer(script) as server, open_transport() as transport:
        await answered(transport, post(server.url(), b"1"))
        answer = await answered(transport, post(server.url(), b"2"))

        assert (answer.status, answer.timing.reused) == (200, False)
        assert [request.body for request in server.requests] == [b"1", b"2", b"2"]
        assert transport.stats.resent_total == 1


async def test_a_request_is_sent_again_once_only() -> None:
    async def answer_once(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()

    async def close_at_once(peer: Peer) -> None:
        await peer.request()

    script = by_connection(answer_once, close_at_once)
    async with RawServer(script) as server, open_transport() as transport:
        await answered(transport, post(server.url()))
        outcome = await unanswered(transport, post(server.url()))

        assert outcome.kind == "closed"
        assert server.accepted == 2


async def test_a_request_is_not_sent_again_after_the_first_byte_of_an_answer() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()
        await peer.send(b"H")

    async with RawServer(play) as server, open_transport() as transport:
        await answered(transport, post(server.url()))
        outcome = await unanswered(transport, post(server.url()))

        assert outcome.message == "127.0.0.1 closed the connection within the answer's header"
        assert (server.accepted, transport.stats.resent_total) == (1, 0)


async def test_idle_connections_are_closed_after_a_while() -> None:
    limits = Limits(idle_ttl_ms=30)
    async with RawServer(answers(OK)) as server, open_transport(limits=limits) as transport:
        await asyncio.gather(*(answered(transport, post(server.url())) for _ in range(3)))
        assert transport.stats.open == 3
        await until(lambda: server.playing == 0, lambda: server.playing)

        assert (transport.stats.open, transport.stats.idle) == (0, 0)


async def test_only_connections_that_were_idle_long_enough_are_closed() -> None:
    clock, limits = Clock(), Limits(idle_ttl_ms=30)
    async with (
        RawServer(answers(OK)) as old,
        RawServer(answers(OK)) as young,
        open_transport(limits=limits, clock=clock) as transport,
    ):
        await answered(transport, post(old.url()))
        clock.now_s += 0.02
        await answered(transport, post(young.url()))
        clock.now_s += 0.02
        await until(lambda: old.playing == 0, lambda: old.playing)

        assert (transport.stats.open, transport.stats.idle) == (1, 1)
        assert (await answered(transport, post(young.url()))).timing.reused


async def test_a_connection_past_its_age_is_not_kept() -> None:
    limits = Limits(connection_age_ms_max=0)
    async with RawServer(answers(OK)) as server, open_transport(limits=limits) as transport:
        await answered(transport, post(server.url()))
        answer = await answered(transport, post(server.url()))

    assert not answer.timing.reused


async def test_the_connections_used_longest_ago_go_first_when_too_many_are_idle() -> None:
    limits = Limits(idle_max=2)
    async with (
        RawServer(answers(OK)) as a,
        RawServer(answers(OK)) as b,
        RawServer(answers(OK)) as c,
        open_transport(limits=limits) as transport,
    ):
        for server in (a, b, a, c):
            await answered(transport, post(server.url()))
        await until(lambda: transport.stats.open == 2, lambda: transport.stats)
        reused = [
            (await answered(transport, post(server.url()))).timing.reused for server in (a, c)
        ]

        assert reused == [True, True]
        assert (a.accepted, b.accepted, b.playing) == (1, 1, 0)


# --- the cap on connections ---------------------------------------------------------------------


async def test_attempts_beyond_the_cap_wait_their_turn_and_take_over_the_connection() -> None:
    order: list[str] = []
    finished = asyncio.Event()

    def done(name: str, outcome: Outcome) -> None:
        assert isinstance(outcome, Answered)
        order.append(name)
        if len(order) == 5:
            finished.set()

    limits = Limits(connections_max=1)
    async with RawServer(answers(OK)) as server, open_transport(limits=limits) as transport:
        for name in "abcde":
            transport.start(post(server.url()), partial(done, name))
        assert transport.stats.queued == 4
        await finished.wait()

        assert order == list("abcde")
        assert server.accepted == 1


async def test_an_idle_connection_makes_room_for_another_origin() -> None:
    limits = Limits(connections_max=1)
    async with (
        RawServer(answers(OK)) as a,
        RawServer(answers(OK)) as b,
        open_transport(limits=limits) as transport,
    ):
        await answered(transport, post(a.url()))
        await answered(transport, post(b.url()))
        outcomes = await asyncio.gather(
            *(answered(transport, post(server.url())) for server in (a, b, a, b))
        )

        assert [outcome.status for outcome in outcomes] == [200] * 4
        assert transport.stats.open == 1


async def test_the_line_counts_for_the_deadline() -> None:
    limits = Limits(connections_max=1)
    async with RawServer(silence) as server, open_transport(limits=limits) as transport:
        first = asyncio.create_task(transport.send(post(server.url())))
        await until(lambda: server.playing == 1, lambda: server.playing)
        outcome = await unanswered(transport, post(server.url(), timeout_ms=100))
        first.cancel()

        assert outcome.message == (
            "no complete answer within 100 ms; waiting for a free connection"
        )
        assert transport.stats.queued == 0


async def test_a_place_that_a_failed_connection_frees_is_used() -> None:
    async with RawServer(answers(OK)) as gone:
        refused = gone.url()
    limits = Limits(connections_max=1)
    async with RawServer(answers(OK)) as server, open_transport(limits=limits) as transport:
        first, second = await asyncio.gather(
            transport.send(post(refused)), transport.send(post(server.url()))
        )

    assert isinstance(first, Unanswered)
    assert isinstance(second, Answered)
