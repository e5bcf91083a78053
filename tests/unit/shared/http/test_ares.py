"""The resolver over c-ares, against a name server of our own on the loopback interface."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import cast

import pytest

from shared.http.ares import AresResolver
from shared.http.names import LookupFailed

A, AAAA = 1, 28
ANSWERS = {
    ("both.example", A): ("93.184.215.14", 300),
    ("both.example", AAAA): ("2606:2800::1", 60),
    ("four.example", A): ("93.184.215.14", 7),
    ("private.example", A): ("10.0.0.1", 7),
}


class NameServer(asyncio.DatagramProtocol):
    """Answers A and AAAA questions from a table, NXDOMAIN else; ``slow.example`` never."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        name, kind = ".".join(labels).lower(), struct.unpack_from("!H", data, at + 1)[0]
        question = data[12 : at + 5]
        self.asked.append(name)
        if name == "slow.example":
            return
        record, known = b"", any(name == listed for listed, _ in ANSWERS)
        if (name, kind) in ANSWERS:
            text, ttl_s = ANSWERS[name, kind]
            packed = ip_address(text).packed
            record = struct.pack("!HHHIH", 0xC00C, kind, 1, ttl_s, len(packed)) + packed
        flags = 0x8180 if known else 0x8183
        header = data[:2] + struct.pack("!HHHHH", flags, 1, int(bool(record)), 0, 0)
        self._transport.sendto(header + question + record, addr)


@asynccontextmanager
async def resolver_and_server() -> AsyncIterator[tuple[AresResolver, NameServer]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    resolver = AresResolver(servers=[f"127.0.0.1:{port}"], timeout_ms=500, tries=1)
    try:
        yield resolver, server
    finally:
        await resolver.close()
        transport.close()


async def test_a_name_has_the_addresses_of_both_families_and_the_smaller_ttl() -> None:
    async with resolver_and_server() as (resolver, _):
        found = await resolver.lookup("both.example")

    assert set(found.addresses) == {IPv4Address("93.184.215.14"), IPv6Address("2606:2800::1")}
    assert found.ttl_s == 60


async def test_a_name_with_one_family_is_enough() -> None:
    async with resolver_and_server() as (resolver, _):
        found = await resolver.lookup("four.example")

    assert (found.addresses, found.ttl_s) == ((IPv4Address("93.184.215.14"),), 7)


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing.example", "domain name not found"), ("slow.example", "timeout|no answer|contact")],
)
async def test_a_name_without_an_answer_is_a_failure_in_words(name: str, message: str) -> None:
    async with resolver_and_server() as (resolver, _):
        with pytest.raises(LookupFailed, match=message):
            await resolver.lookup(name)


async def test_a_slow_name_keeps_no_other_back() -> None:
    async with resolver_and_server() as (resolver, server):
        slow = asyncio.create_task(resolver.lookup("slow.example"))
        found = await resolver.lookup("four.example")

        assert found.addresses
        assert not slow.done()
        with pytest.raises(LookupFailed):
            await slow
        assert "slow.example" in server.asked


async def test_only_the_name_itself_is_asked_for_not_the_systems_search_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOCALDOMAIN", "svc.cluster.local cluster.local")  # as resolver(5) says
    async with resolver_and_server() as (resolver, server):
        with pytest.raises(LookupFailed):
            await resolver.lookup("kafka")

        assert "kafka.svc.cluster.local" not in server.asked


async def test_the_hosts_file_is_read() -> None:
    async with resolver_and_server() as (resolver, _):
        found = await resolver.lookup("localhost")

    assert IPv4Address("127.0.0.1") in found.addresses


async def test_closing_fails_look_ups_under_way() -> None:
    async with resolver_and_server() as (resolver, _):
        slow = asyncio.create_task(resolver.lookup("slow.example"))
        await asyncio.wait([slow], timeout=0.01)
        await resolver.close()
        with pytest.raises(LookupFailed):
            await slow
