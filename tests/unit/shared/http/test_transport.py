"""What a caller of the transport may rely on, against receivers made of raw sockets."""

import asyncio

import pytest

from shared.http.limits import Limits
from shared.http.messages import Answered, Outcome
from tests.support.raw_server import (
    OK,
    Peer,
    RawServer,
    answers,
    silence,
)
from tests.unit.shared.http.kit import AMPLE_MS, answered, open_transport, post, unanswered, until


async def test_the_bytes_on_the_wire_are_the_request_as_rendered() -> None:
    async with RawServer(answers(OK)) as server, open_transport() as transport:
        headers = [("webhook-id", "evt_1"), ("X-QR3-Signature", "sha256=ab"), ("Accept", "*/*")]
        await answered(transport, post(server.url("/in?a=%2Fb"), b'{"a":1}', headers=headers))

    assert server.requests[0].body == b'{"a":1}'
    assert server.requests[0].head == (
        b"POST /in?a=%%2Fb HTTP/1.1\r\n"
        b"Host: 127.0.0.1:%d\r\n"
        b"webhook-id: evt_1\r\n"
        b"X-QR3-Signature: sha256=ab\r\n"
        b"Accept: */*\r\n"
        b"Content-Length: 7\r\n"
        b"\r\n" % server.port
    )


async def test_an_empty_body_says_so() -> None:
    async with RawServer(answers(OK)) as server, open_transport() as transport:
        await answered(transport, post(server.url(), b""))

    assert server.requests[0]["Content-Length"] == "0"


async def test_an_answer_comes_with_its_headers_address_and_timing() -> None:
    reply = b"HTTP/1.1 201 Created\r\nX-Id: 7\r\nx-id:  8 \t\r\nContent-Length: 3\r\n\r\nyes"
    async with RawServer(answers(reply)) as server, open_transport() as transport:
        answer = await answered(transport, post(server.url()))

    assert (answer.status, answer.body, answer.body_truncated) == (201, b"yes", False)
    assert answer.headers == (("X-Id", "7"), ("x-id", "8"), ("Content-Length", "3"))
    assert answer.address == "127.0.0.1"
    timing = answer.timing
    assert not timing.reused
    assert 0 < timing.connect_ms < timing.first_byte_ms <= timing.total_ms
    assert timing.tls_ms == 0


async def test_a_redirect_is_an_answer_like_any_other() -> None:
    async with RawServer(answers(OK)) as other:
        reply = b"HTTP/1.1 307 Go\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n"
        script = answers(reply % other.url().encode())
        async with RawServer(script) as server, open_transport() as transport:
            answer = await answered(transport, post(server.url()))

    assert answer.status == 307
    assert other.accepted == 0


# --- done ---------------------------------------------------------------------------------------


async def test_done_is_called_once_and_never_from_within_start() -> None:
    outcomes: list[Outcome] = []
    async with RawServer(answers(OK)) as server, open_transport() as transport:
        for url in (server.url(), "http://10.0.0.1/", "http://127.0.0.1:1/"):
            transport.start(post(url), outcomes.append)
            assert outcomes == []
        await until(lambda: len(outcomes) == 3, lambda: outcomes)
        await transport.close()
        transport.start(post(server.url()), outcomes.append)
        assert len(outcomes) == 3
        await until(lambda: len(outcomes) == 4, lambda: outcomes)

    kinds = [getattr(outcome, "kind", "answered") for outcome in outcomes]
    assert sorted(kinds) == ["answered", "blocked", "connect", "local"]


async def test_a_thousand_attempts_may_each_start_the_next_from_done() -> None:
    finished = asyncio.Event()
    left = 1_000
    async with RawServer(answers(OK)) as server, open_transport() as transport:
        request = post(server.url())

        def done(outcome: Outcome) -> None:
            nonlocal left
            assert isinstance(outcome, Answered)
            left -= 1
            if left:
                transport.start(request, done)
            else:
                finished.set()

        transport.start(request, done)
        await finished.wait()
        stats = transport.stats

    assert (stats.opened_total, stats.reused_total, stats.in_flight) == (1, 999, 0)


async def test_a_callback_that_raises_is_reported_and_harms_no_other_attempt() -> None:
    reports: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))

    def broken(_: Outcome) -> None:
        raise ZeroDivisionError

    async with RawServer(answers(OK)) as server, open_transport() as transport:
        transport.start(post(server.url()), broken)
        await until(lambda: len(reports) == 1, lambda: reports)
        answer = await answered(transport, post(server.url()))

    assert isinstance(reports[0]["exception"], ZeroDivisionError)
    assert answer.timing.reused


async def test_a_cancelled_send_closes_its_connection_and_leaves_no_trace() -> None:
    async with RawServer(silence) as server, open_transport() as transport:
        sending = asyncio.create_task(transport.send(post(server.url())))
        await until(lambda: server.playing == 1, lambda: server.playing)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await until(lambda: server.playing == 0, lambda: server.playing)
        await until(lambda: transport.stats.open == 0, lambda: transport.stats)

        assert transport.stats.in_flight == 0


async def test_close_ends_every_attempt_once_wherever_it_is() -> None:
    outcomes: list[Outcome] = []
    limits = Limits(connections_max=2)
    async with RawServer(silence) as server, open_transport(limits=limits) as transport:
        for _ in range(4):
            transport.start(post(server.url()), outcomes.append)
        await until(lambda: server.playing == 2, lambda: server.playing)
        transport.start(post(server.url()), outcomes.append)
        await transport.close()

        assert [getattr(outcome, "kind", None) for outcome in outcomes] == ["local"] * 5
        await until(lambda: server.playing == 0, lambda: server.playing)


# --- deadlines ----------------------------------------------------------------------------------


async def test_a_receiver_that_never_answers_is_a_timeout() -> None:
    async with RawServer(silence) as server, open_transport() as transport:
        outcome = await unanswered(transport, post(server.url(), timeout_ms=AMPLE_MS))

        assert outcome.kind == "timeout"
        assert outcome.message == (
            f"no complete answer within {AMPLE_MS} ms; waiting for an answer from 127.0.0.1"
        )
        await until(lambda: transport.stats.open == 0, lambda: transport.stats)


@pytest.mark.parametrize(
    ("reply", "part"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Slow: " + b"z" * 1_000, "header"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1_000, "header"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 100, "header"),
    ],
)
async def test_a_header_of_one_byte_at_a_time_does_not_outlast_the_deadline(
    reply: bytes, part: str
) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.drip(reply, 0.01)

    async with RawServer(play) as server, open_transport() as transport:
        outcome = await unanswered(transport, post(server.url(), timeout_ms=AMPLE_MS))

    assert outcome.kind == "timeout"
    assert f"the rest of the answer's {part}" in outcome.message
    assert 0 < outcome.timing.first_byte_ms < outcome.timing.total_ms


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n",
    ],
)
async def test_a_body_of_one_byte_at_a_time_does_not_outlast_the_deadline(head: bytes) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(head)
        await peer.drip(b"z" * 1_000, 0.01)

    async with RawServer(play) as server, open_transport() as transport:
        outcome = await unanswered(transport, post(server.url(), timeout_ms=AMPLE_MS))

    assert outcome.kind == "timeout"
    assert "the rest of the answer's body (status 200)" in outcome.message


async def test_a_receiver_that_does_not_read_the_body_is_a_timeout() -> None:
    async def play(peer: Peer) -> None:
        await peer.head()
        await asyncio.Event().wait()

    async with RawServer(play) as server, open_transport() as transport:
        request = post(server.url(), b"z" * 20_000_000, timeout_ms=AMPLE_MS)
        outcome = await unanswered(transport, request)

        assert "waiting for 127.0.0.1 to read the request" in outcome.message
        await until(lambda: transport.stats.open == 0, lambda: transport.stats)


# --- early and large ----------------------------------------------------------------------------


async def test_an_answer_to_the_head_alone_is_taken_while_the_body_is_still_going_out() -> None:
    async def play(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await asyncio.Event().wait()

    async with RawServer(play) as server, open_transport() as transport:
        answer = await answered(transport, post(server.url(), b"z" * 20_000_000))

        assert answer.status == 413
        await until(lambda: transport.stats.open == 0, lambda: transport.stats)


async def test_a_body_of_5_mb_arrives_whole_and_the_connection_is_kept() -> None:
    body = bytes(range(256)) * 20_000
    async with RawServer(answers(OK)) as server, open_transport() as transport:
        await answered(transport, post(server.url(), body))
        answer = await answered(transport, post(server.url(), body))

    assert [request.body for request in server.requests] == [body, body]
    assert answer.timing.reused


async def test_the_body_is_kept_up_to_the_requests_limit() -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"z" * 100_000
    async with RawServer(answers(reply)) as server, open_transport() as transport:
        first = await answered(transport, post(server.url(), response_bytes_max=10))
        second = await answered(transport, post(server.url(), response_bytes_max=0))
        third = await answered(transport, post(server.url(), response_bytes_max=100_000))

    assert (first.body, first.body_truncated) == (b"z" * 10, True)
    assert (second.body, second.body_truncated) == (b"", True)
    assert (len(third.body), third.body_truncated) == (100_000, False)
    assert third.timing.reused


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"z" * 65_536),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"z" * 65_536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nz\r\n" * 10_000),
    ],
)
async def test_an_endless_body_is_cut_and_its_status_counts(head: bytes, piece: bytes) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(head)
        while True:
            await peer.send(piece)

    async with RawServer(play) as server, open_transport() as transport:
        answer = await answered(transport, post(server.url()))

        assert (answer.status, answer.body_truncated) == (200, True)
        assert answer.body == b"z" * 16_384
        await until(lambda: transport.stats.open == 0, lambda: transport.stats)


@pytest.mark.parametrize("piece", [b"A: b\r\n" * 1_000, b"z" * 6_000])
async def test_an_endless_header_is_refused(piece: bytes) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            await peer.send(piece)

    async with RawServer(play) as server, open_transport() as transport:
        outcome = await unanswered(transport, post(server.url()))

        assert (outcome.kind, outcome.message) == (
            "protocol",
            "the answer's header is longer than 32 KiB",
        )
        await until(lambda: transport.stats.open == 0, lambda: transport.stats)
