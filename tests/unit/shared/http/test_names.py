"""Names: which addresses are dialled for a host, and how often anybody is asked."""

import asyncio
from ipaddress import ip_address, ip_network

import pytest

from shared.http.limits import Limits
from shared.http.messages import Refusal
from shared.http.names import Names, Vetted
from shared.policy.addresses import EgressPolicy, parse_url
from tests.support.raw_server import OK, RawServer, answers
from tests.unit.shared.http.kit import (
    LOOPBACK,
    PRODUCTION,
    Clock,
    FakeResolver,
    answered,
    open_transport,
    post,
    unanswered,
    until,
)

PUBLIC = "93.184.215.14"
OTHER_PUBLIC = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"


async def resolve(names: Names, host: str) -> Vetted:
    return await names.resolve(parse_url(f"http://{host}/", PRODUCTION))


def names_of(
    resolver: FakeResolver,
    clock: Clock | None = None,
    policy: EgressPolicy = PRODUCTION,
    limits: Limits | None = None,
) -> Names:
    return Names(resolver, policy, limits or Limits(), clock or Clock())


# --- vetting ------------------------------------------------------------------------------------


async def test_a_names_addresses_come_in_the_resolvers_order() -> None:
    names = names_of(FakeResolver({"a.example": [[OTHER_PUBLIC, PUBLIC]]}))

    assert await resolve(names, "a.example") == (ip_address(OTHER_PUBLIC), ip_address(PUBLIC))


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], [PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC], ["::ffff:10.0.0.1"]]
)
async def test_one_blocked_address_blocks_the_name(addresses: list[str]) -> None:
    refusal = await resolve(names_of(FakeResolver({"a.example": [addresses]})), "a.example")

    assert isinstance(refusal, Refusal)
    assert refusal.kind == "blocked"


async def test_a_refusal_names_the_address_the_range_and_the_setting() -> None:
    refusal = await resolve(names_of(FakeResolver({"a.example": [["10.0.0.1"]]})), "a.example")

    assert refusal == Refusal(
        "blocked",
        "a.example resolves to an address in a blocked range (private network); "
        "allow it with HOOKLANE_EGRESS_ALLOW",
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "169.254.169.254", "[64:ff9b::1]"])
async def test_a_literal_is_vetted_without_a_look_up(host: str) -> None:
    resolver = FakeResolver()
    refusal = await resolve(names_of(resolver), host)

    assert isinstance(refusal, Refusal)
    assert refusal.kind == "blocked"
    assert refusal.message.startswith(f"{host.strip('[]')} is in a blocked range (")
    assert resolver.asked == []


async def test_a_literal_that_is_allowed_is_its_own_address() -> None:
    assert await resolve(names_of(FakeResolver()), PUBLIC) == (ip_address(PUBLIC),)


async def test_localhost_is_the_loopback_addresses_that_are_allowed_and_nobody_is_asked() -> None:
    resolver = FakeResolver({"localhost": [[PUBLIC]]})
    both = EgressPolicy(allow=(ip_network("127.0.0.0/8"), ip_network("::1/128")))

    assert await resolve(names_of(resolver, policy=LOOPBACK), "localhost") == (
        ip_address("127.0.0.1"),
    )
    assert await resolve(names_of(resolver, policy=both), "a.localhost") == (
        ip_address("127.0.0.1"),
        ip_address("::1"),
    )
    assert await resolve(names_of(resolver), "localhost") == Refusal(
        "blocked",
        "localhost resolves to an address in a blocked range (loopback); "
        "allow it with HOOKLANE_EGRESS_ALLOW",
    )
    assert resolver.asked == []


@pytest.mark.parametrize("answer", ["domain name not found", []])
async def test_a_name_without_addresses_says_so(answer: list[str] | str) -> None:
    refusal = await resolve(names_of(FakeResolver({"a.example": [answer]})), "a.example")

    assert isinstance(refusal, Refusal)
    assert refusal.kind == "dns"
    assert refusal.message.startswith("a.example has no address")


# --- caching ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ttl_s", "kept_s"), [(0.0, 5.0), (1.0, 5.0), (30.0, 30.0), (60.0, 60.0), (86_400.0, 60.0)]
)
async def test_an_answer_is_good_for_its_ttl_within_bounds(ttl_s: float, kept_s: float) -> None:
    resolver, clock = FakeResolver({"a.example": [[PUBLIC], [OTHER_PUBLIC]]}), Clock()
    resolver.ttl_s = ttl_s
    names = names_of(resolver, clock)

    first = await resolve(names, "a.example")
    clock.now_s += kept_s - 0.001
    assert await resolve(names, "a.example") == first
    clock.now_s += 0.002
    assert await resolve(names, "a.example") == (ip_address(OTHER_PUBLIC),)
    assert resolver.asked == ["a.example"] * 2


@pytest.mark.parametrize("bad", ["domain name not found", ["10.0.0.1"]])
async def test_a_refusal_is_remembered_for_a_while_too(bad: list[str] | str) -> None:
    resolver, clock = FakeResolver({"a.example": [bad, [PUBLIC]]}), Clock()
    resolver.ttl_s = 0.0
    names = names_of(resolver, clock)

    first = await resolve(names, "a.example")
    clock.now_s += 4.9
    assert await resolve(names, "a.example") is first
    clock.now_s += 0.2
    assert await resolve(names, "a.example") == (ip_address(PUBLIC),)


async def test_the_name_used_longest_ago_is_forgotten_when_there_are_too_many() -> None:
    resolver = FakeResolver({f"{name}.example": [[PUBLIC]] for name in "abc"})
    names = names_of(resolver, limits=Limits(names_max=2))

    for name in "abacab":
        await resolve(names, f"{name}.example")

    assert [name[0] for name in resolver.asked] == ["a", "b", "c", "b"]


async def test_a_look_up_that_never_ends_is_given_up_and_holds_nobody_else_back() -> None:
    resolver = FakeResolver({"slow.example": [[PUBLIC]]})
    resolver.hold = asyncio.Event()
    names = names_of(resolver, limits=Limits(name_lookup_ms_max=20))

    refusal = await resolve(names, "slow.example")

    assert refusal == Refusal("dns", "slow.example has no address: no answer within 20 ms")


# --- one look-up per name, through the transport --------------------------------------------------


async def test_attempts_that_wait_for_the_same_name_share_one_look_up() -> None:
    resolver = FakeResolver({"a.example": [["127.0.0.1"]]})
    resolver.hold = asyncio.Event()
    async with RawServer(answers(OK)) as server, open_transport(resolver) as transport:
        request = post(server.url(host="a.example"))
        sending = [asyncio.create_task(transport.send(request)) for _ in range(3)]
        await until(lambda: resolver.asked == ["a.example"], lambda: resolver.asked)
        sending[0].cancel()
        await asyncio.wait([sending[0]])
        outcome = await unanswered(transport, post(server.url(host="a.example"), timeout_ms=60))
        resolver.hold.set()
        statuses = [getattr(await task, "status", None) for task in sending[1:]]

    assert outcome.message == (
        "no complete answer within 60 ms; waiting for the addresses of a.example"
    )
    assert statuses == [200, 200]
    assert resolver.asked == ["a.example"]


async def test_closing_ends_look_ups_under_way_and_the_resolver() -> None:
    resolver = FakeResolver({"a.example": [["127.0.0.1"]]})
    resolver.hold = asyncio.Event()
    async with open_transport(resolver) as transport:
        sending = asyncio.create_task(transport.send(post("http://a.example/")))
        await until(lambda: resolver.asked == ["a.example"], lambda: resolver.asked)
        async with asyncio.timeout(2):
            await transport.close()

        assert getattr(await sending, "kind", None) == "local"
        assert resolver.closed


async def test_a_resolver_with_a_bug_is_our_fault_and_not_the_receivers() -> None:
    reports: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))

    class Broken(FakeResolver):
        async def lookup(self, name: str) -> Vetted:  # type: ignore[override]
            raise ZeroDivisionError(name)

    async with open_transport(Broken()) as transport:
        outcome = await unanswered(transport, post("http://a.example/"))

    assert outcome.kind == "local"
    assert isinstance(reports[0]["exception"], ZeroDivisionError)


# --- rebinding ----------------------------------------------------------------------------------


async def test_the_vetted_address_is_dialled_and_nobody_is_asked_a_second_time() -> None:
    resolver = FakeResolver({"a.example": [["127.0.0.1"], ["10.0.0.1"]]})
    async with RawServer(answers(OK)) as server, open_transport(resolver) as transport:
        for _ in range(3):
            answer = await answered(transport, post(server.url(host="a.example")))
            assert answer.address == "127.0.0.1"

        assert server.requests[0]["Host"] == f"a.example:{server.port}"
        assert resolver.asked == ["a.example"]


async def test_a_name_that_moves_to_a_blocked_address_is_blocked_at_its_next_connection() -> None:
    resolver = FakeResolver({"a.example": [["127.0.0.1"], ["10.0.0.1"]]})
    limits = Limits(name_ttl_ms_min=0, name_ttl_ms_max=0, connection_age_ms_max=0)
    async with (
        RawServer(answers(OK)) as server,
        open_transport(resolver, limits=limits) as transport,
    ):
        await answered(transport, post(server.url(host="a.example")))
        outcome = await unanswered(transport, post(server.url(host="a.example")))

        assert (outcome.kind, outcome.address) == ("blocked", None)
        assert server.accepted == 1
