"""Opening connections: address after address, TLS to the name, and whose fault a failure is."""

import asyncio
import os
import resource
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address

import pytest

from shared.http.connection import Connection
from shared.http.dial import Dialler
from shared.http.exchange import Exchange
from shared.http.transport import default_tls
from tests.support.certificates import Authority
from tests.support.raw_server import OK, Peer, RawServer, answers, answers_and_closes, silence
from tests.unit.shared.http.kit import (
    AMPLE_MS,
    FakeResolver,
    answered,
    open_transport,
    post,
    unanswered,
    until,
)
from tests.unit.shared.http.test_connection import NotingOwner

NAME = "hooks.example"


@asynccontextmanager
async def black_hole(host: str, port: int) -> AsyncIterator[None]:
    """Listen so that connecting hangs: the backlog is full and nobody accepts."""
    listener = socket.create_server((host, port), backlog=0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex((host, port))
        fillers.append(filler)
    try:
        yield
    finally:
        for sock in (listener, *fillers):
            sock.close()


# --- addresses ----------------------------------------------------------------------------------


async def test_the_next_address_is_tried_when_nobody_listens_at_the_first() -> None:
    resolver = FakeResolver({NAME: [["127.0.0.9", "127.0.0.8", "127.0.0.1"]]})
    async with RawServer(answers(OK)) as server, open_transport(resolver) as transport:
        answer = await answered(transport, post(server.url(host=NAME)))

    assert answer.address == "127.0.0.1"


async def test_the_next_address_is_tried_when_the_first_one_has_used_its_share_up() -> None:
    resolver = FakeResolver({NAME: [["127.0.0.9", "127.0.0.1"]]})
    async with (
        RawServer(answers(OK)) as server,
        black_hole("127.0.0.9", server.port),
        open_transport(resolver) as transport,
    ):
        request = post(server.url(host=NAME), timeout_ms=1_500)
        answer = await answered(transport, request)

    assert answer.address == "127.0.0.1"


async def test_connecting_in_vain_is_a_timeout_that_names_the_place() -> None:
    async with RawServer(answers(OK)) as server:
        pass
    async with black_hole("127.0.0.1", server.port), open_transport() as transport:
        outcome = await unanswered(transport, post(server.url(), timeout_ms=100))

    assert (outcome.kind, outcome.address) == ("timeout", "127.0.0.1")
    assert f"a connection to 127.0.0.1 port {server.port}" in outcome.message


async def test_only_so_many_addresses_of_a_name_are_tried() -> None:
    addresses = [f"127.0.0.{last}" for last in range(2, 9)]
    async with (
        RawServer(answers(OK), host="127.0.0.6") as server,
        open_transport(FakeResolver({NAME: [addresses]})) as transport,
    ):
        outcome = await unanswered(transport, post(server.url(host=NAME)))

    assert (outcome.kind, outcome.address) == ("connect", "127.0.0.5")


@contextmanager
def no_file_descriptor_left() -> Iterator[None]:
    """Let nothing be opened, as where too much is open already."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_running_out_of_sockets_is_our_fault(scheme: str) -> None:
    async with RawServer(answers(OK)) as server, open_transport() as transport:
        with no_file_descriptor_left():
            url = server.url().replace("http", scheme)
            outcome = await unanswered(transport, post(url))

    assert outcome.kind == "local"
    assert outcome.message.endswith("too many open files")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("addresses", [1, 2])
@pytest.mark.parametrize("dropped", [True, False])
async def test_an_opening_that_is_interrupted_when_it_is_just_done_is_lost_and_told_once(
    authority: Authority, scheme: str, addresses: int, dropped: bool
) -> None:
    tls = authority.server_tls("127.0.0.1") if scheme == "https" else None
    async with RawServer(silence, tls=tls) as server:
        owner, address = NotingOwner(), ip_address("127.0.0.1")
        exchange = Exchange(post(server.url()), lambda _: None, time.monotonic())
        exchange.dropped = dropped

        class Interrupting(Connection):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                dialling.cancel()

        dialler = Dialler(authority.client_tls(), time.monotonic)
        dialling = asyncio.create_task(
            dialler.dial(
                exchange,
                (address,) * addresses,
                lambda to: Interrupting(owner, exchange, to, time.monotonic),
            )
        )
        with pytest.raises(asyncio.CancelledError):
            await dialling
        await until(lambda: server.playing == 0, lambda: server.playing)

    told = [] if dropped else ["settled"]
    assert owner.heard == ["opened", *told, "lost"]


# --- TLS ----------------------------------------------------------------------------------------


@asynccontextmanager
async def tls_server(authority: Authority, *hosts: str) -> AsyncIterator[RawServer]:
    async with RawServer(answers(OK), tls=authority.server_tls(*hosts)) as server:
        yield server


def resolver_of(*names: str) -> FakeResolver:
    return FakeResolver({name: [["127.0.0.1"]] for name in names})


async def test_https_goes_to_the_vetted_address_with_the_name_in_sni_and_host(
    authority: Authority,
) -> None:
    async with (
        tls_server(authority, NAME) as server,
        open_transport(resolver_of(NAME), tls=authority.client_tls()) as transport,
    ):
        first = await answered(transport, post(server.url("/in", host=NAME)))
        second = await answered(transport, post(server.url("/in", host=NAME)))

    assert server.names == [NAME]
    assert server.requests[0]["Host"] == f"{NAME}:{server.port}"
    assert first.address == "127.0.0.1"
    assert 0 < first.timing.tls_ms < first.timing.total_ms
    assert 0 < first.timing.connect_ms < first.timing.total_ms
    assert (second.timing.reused, second.timing.tls_ms, second.timing.connect_ms) == (True, 0, 0)


async def test_an_address_in_the_url_is_checked_against_the_certificate_without_sni(
    authority: Authority,
) -> None:
    async with (
        tls_server(authority, "127.0.0.1") as server,
        open_transport(tls=authority.client_tls()) as transport,
    ):
        answer = await answered(transport, post(server.url()))

    assert answer.status == 200
    assert server.names == [None]


async def test_a_certificate_that_nobody_vouches_for_is_refused(authority: Authority) -> None:
    async with (
        tls_server(authority, NAME) as server,
        open_transport(resolver_of(NAME), tls=default_tls()) as transport,
    ):
        outcome = await unanswered(transport, post(server.url(host=NAME)))

    assert outcome.kind == "tls"
    assert "certificate" in outcome.message
    assert server.requests == []


async def test_a_certificate_for_another_name_is_refused(authority: Authority) -> None:
    async with (
        tls_server(authority, "other.example") as server,
        open_transport(resolver_of(NAME), tls=authority.client_tls()) as transport,
    ):
        outcome = await unanswered(transport, post(server.url(host=NAME)))

    assert outcome.kind == "tls"
    assert f"certificate is not valid for '{NAME}'" in outcome.message
    assert server.requests == []


async def test_https_to_a_port_that_speaks_http_is_a_tls_failure() -> None:
    async def play(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await peer.until_client_closes()

    async with RawServer(play) as server, open_transport() as transport:
        url = server.url().replace("http://", "https://")
        outcome = await unanswered(transport, post(url))

    assert outcome.kind == "tls"
    assert f"the TLS handshake with 127.0.0.1 port {server.port} failed" in outcome.message


@pytest.mark.parametrize("end", [Peer.half_close, Peer.reset, Peer.drop])
async def test_a_handshake_that_the_receiver_breaks_off_is_a_tls_failure(
    end: Callable[[Peer], None],
) -> None:
    async def play(peer: Peer) -> None:
        end(peer)

    async with RawServer(play) as server, open_transport() as transport:
        url = server.url().replace("http://", "https://")
        outcome = await unanswered(transport, post(url))

    assert outcome.kind == "tls"
    assert "TLS handshake" in outcome.message


async def test_a_handshake_that_never_goes_on_is_a_timeout() -> None:
    async with RawServer(silence) as server, open_transport() as transport:
        url = server.url().replace("http://", "https://")
        outcome = await unanswered(transport, post(url, timeout_ms=AMPLE_MS))

        assert outcome.kind == "timeout"
        assert "the TLS handshake with 127.0.0.1" in outcome.message
        await until(lambda: server.playing == 0, lambda: server.playing)


async def test_the_next_address_is_tried_when_the_first_ones_handshake_has_used_its_share_up(
    authority: Authority,
) -> None:
    resolver = FakeResolver({NAME: [["127.0.0.9", "127.0.0.1"]]})
    async with (
        tls_server(authority, NAME) as server,
        open_transport(resolver, tls=authority.client_tls()) as transport,
    ):
        with socket.create_server(("127.0.0.9", server.port)):  # which nobody accepts from
            answer = await answered(transport, post(server.url(host=NAME), timeout_ms=1_500))

    assert answer.address == "127.0.0.1"


async def test_a_large_body_arrives_whole_over_tls(authority: Authority) -> None:
    body = bytes(range(256)) * 10_000
    async with (
        tls_server(authority, NAME) as server,
        open_transport(resolver_of(NAME), tls=authority.client_tls()) as transport,
    ):
        await answered(transport, post(server.url(host=NAME), body))

    assert server.requests[0].body == body


@pytest.mark.parametrize("end", [Peer.drop, None])
async def test_an_answer_over_tls_may_last_until_the_connection_ends_with_or_without_farewell(
    authority: Authority, end: Callable[[Peer], None] | None
) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        if end is not None:
            end(peer)

    async with (
        RawServer(play, tls=authority.server_tls(NAME)) as server,
        open_transport(resolver_of(NAME), tls=authority.client_tls()) as transport,
    ):
        answer = await answered(transport, post(server.url(host=NAME)))
        await until(lambda: transport.stats.open == 0, lambda: transport.stats)

    assert answer.body == b"all of it"


async def test_an_idle_tls_connection_that_ends_under_the_next_request_is_replaced(
    authority: Authority,
) -> None:
    async with (
        RawServer(answers_and_closes(OK), tls=authority.server_tls(NAME)) as server,
        open_transport(resolver_of(NAME), tls=authority.client_tls()) as transport,
    ):
        outcomes = [await answered(transport, post(server.url(host=NAME))) for _ in range(5)]

    assert [outcome.status for outcome in outcomes] == [200] * 5


async def test_closing_does_not_wait_for_a_receiver_that_never_says_farewell(
    authority: Authority,
) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await asyncio.Event().wait()

    async with (
        RawServer(play, tls=authority.server_tls(NAME)) as server,
        open_transport(resolver_of(NAME), tls=authority.client_tls()) as transport,
    ):
        await answered(transport, post(server.url(host=NAME)))
        async with asyncio.timeout(4):
            await transport.close()

        assert transport.stats.open == 0


def test_the_default_tls_settings_check_names_and_speak_http_1_1_over_tls_1_2_or_newer() -> None:
    tls = default_tls()

    assert tls.check_hostname
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.minimum_version >= ssl.TLSVersion.TLSv1_2
