"""The transport behind httpx's client."""

import asyncio

import httpx
import pytest

from shared.http.httpx_face import HttpxTransport
from tests.support.raw_server import OK, RawServer, answers, answers_and_closes, silence
from tests.unit.shared.http.kit import FakeResolver, open_transport


async def test_a_client_posts_through_the_transport_with_its_own_headers() -> None:
    head = b"HTTP/1.1 202 Accepted\r\nX-Id: 7\r\nTransfer-Encoding: chunked\r\n\r\n"
    reply = head + b"2\r\nok\r\n0\r\n\r\n"
    async with RawServer(answers(reply)) as server, open_transport() as transport:
        async with httpx.AsyncClient(transport=HttpxTransport(transport)) as client:
            response = await client.post(
                server.url("/in?a=1"), json={"a": 1}, headers={"X-Sig": "s"}
            )
        stats = transport.stats

    request = server.requests[0]
    assert (response.status_code, response.text, response.headers["x-id"]) == (202, "ok", "7")
    assert (request.start_line, request.body) == ("POST /in?a=1 HTTP/1.1", b'{"a":1}')
    assert (request["X-Sig"], request["Content-Type"]) == ("s", "application/json")
    assert [name.lower() for name, _ in request.headers].count("host") == 1
    assert [name.lower() for name, _ in request.headers].count("content-length") == 1
    assert stats.idle == 1


async def test_a_redirect_is_left_to_the_client() -> None:
    reply = b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"
    async with (
        RawServer(answers(reply)) as server,
        open_transport() as transport,
        httpx.AsyncClient(transport=HttpxTransport(transport)) as client,
    ):
        response = await client.post(server.url())

    assert response.status_code == 302
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://10.0.0.1/", httpx.ConnectError),
        ("http://missing.example/", httpx.ConnectError),
        ("http://127.0.0.1:1/", httpx.ConnectError),
        ("http://user@a.example/", httpx.UnsupportedProtocol),
        ("http://a.example./", httpx.UnsupportedProtocol),
    ],
)
async def test_what_cannot_be_reached_is_httpxs_error(
    url: str, error: type[httpx.TransportError]
) -> None:
    async with (
        open_transport() as transport,
        httpx.AsyncClient(transport=HttpxTransport(transport)) as client,
    ):
        with pytest.raises(error):
            await client.post(url)


async def test_failures_after_connecting_are_httpxs_errors() -> None:
    async with (
        RawServer(answers_and_closes(b"")) as closes,
        RawServer(answers(b"220 smtp\r\n")) as foreign,
        RawServer(silence) as silent,
        RawServer(answers(OK)) as fine,
        open_transport() as transport,
        httpx.AsyncClient(transport=HttpxTransport(transport, response_bytes_max=1)) as client,
    ):
        with pytest.raises(httpx.RemoteProtocolError, match="closed the connection"):
            await client.post(closes.url())
        with pytest.raises(httpx.RemoteProtocolError, match="not HTTP"):
            await client.post(foreign.url())
        with pytest.raises(httpx.ReadTimeout, match="within 100 ms"):
            await client.post(silent.url(), timeout=0.1)
        with pytest.raises(httpx.ReadError, match="longer than 1 bytes"):
            await client.post(fine.url())
        with pytest.raises(httpx.UnsupportedProtocol, match="not GET"):
            await client.get(fine.url())
        with pytest.raises(httpx.LocalProtocolError, match="'X-A'"):
            await client.post(fine.url(), headers={b"X-A": b"\xfc"})


async def test_a_deadline_before_there_is_a_connection_is_a_connect_timeout() -> None:
    resolver = FakeResolver({"a.example": [["127.0.0.1"]]})
    resolver.hold = asyncio.Event()
    async with (
        open_transport(resolver) as transport,
        httpx.AsyncClient(transport=HttpxTransport(transport), timeout=0.1) as client,
    ):
        with pytest.raises(httpx.ConnectTimeout, match="waiting for the addresses"):
            await client.post("http://a.example/")


async def test_closing_the_client_leaves_the_transport_to_its_owner() -> None:
    async with RawServer(answers(OK)) as server, open_transport() as transport:
        for _ in range(2):
            async with httpx.AsyncClient(transport=HttpxTransport(transport)) as client:
                await client.post(server.url())

        assert (server.accepted, transport.stats.idle) == (1, 1)
