"""The URL grammar and the address tables that stand between strangers' URLs and our network."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.policy.addresses import (
    EgressPolicy,
    Target,
    UrlRefused,
    blocked,
    never_reached,
    parse_url,
)

PRODUCTION = EgressPolicy()
OPEN = EgressPolicy(require_https=False)
DEVELOPMENT = EgressPolicy(require_https=False, allow=(ip_network("127.0.0.0/8"),))


# --- URLs ---------------------------------------------------------------------------------------


def test_a_url_is_taken_apart() -> None:
    target = parse_url("https://Hooks.Example.COM/in/?a=1&b=2", PRODUCTION)

    assert target == Target(
        scheme="https",
        host="hooks.example.com",
        port=443,
        path="/in/?a=1&b=2",
        authority="hooks.example.com",
        origin="https://hooks.example.com:443",
        literal=None,
    )


@pytest.mark.parametrize(
    ("url", "authority", "port"),
    [
        ("https://a.example", "a.example", 443),
        ("https://a.example:443/", "a.example", 443),
        ("https://a.example:8443/", "a.example:8443", 8443),
        ("http://a.example:80/", "a.example", 80),
        ("http://a.example:443/", "a.example:443", 443),
        ("HTTP://a.example:0080/", "a.example", 80),
        ("https://[2606:4700::1111]/", "[2606:4700::1111]", 443),
        ("https://[2606:4700:0:0::1111]:8443/", "[2606:4700::1111]:8443", 8443),
        ("https://1.1.1.1:8443/", "1.1.1.1:8443", 8443),
    ],
)
def test_the_authority_names_a_port_only_where_it_is_not_the_schemes_own(
    url: str, authority: str, port: int
) -> None:
    target = parse_url(url, OPEN)

    assert (target.authority, target.port) == (authority, port)


@pytest.mark.parametrize(
    ("url", "host", "literal"),
    [
        ("http://localhost:9/", "localhost", None),
        ("http://receiver_1:9/", "receiver_1", None),
        ("http://bücher.example/", "xn--bcher-kva.example", None),
        ("http://BÜCHER.example/", "xn--bcher-kva.example", None),
        ("http://xn--bcher-kva.example/", "xn--bcher-kva.example", None),
        ("http://r3---sn-abc.example/", "r3---sn-abc.example", None),
        ("http://8.8.8.8/", "8.8.8.8", IPv4Address("8.8.8.8")),
        ("http://\uff18.\uff18.\uff18.\uff18/", "8.8.8.8", IPv4Address("8.8.8.8")),
        ("http://[::1]/", "::1", IPv6Address("::1")),
        ("http://[::FFFF:10.0.0.1]/", "::ffff:a00:1", IPv6Address("::ffff:10.0.0.1")),
        ("http://3com.example/", "3com.example", None),
        ("http://1e100.net/", "1e100.net", None),
        ("http://0xbeef.example/", "0xbeef.example", None),
    ],
)
def test_a_host_becomes_lower_case_ascii_and_literals_become_addresses(
    url: str, host: str, literal: object
) -> None:
    target = parse_url(url, OPEN)

    assert (target.host, target.literal) == (host, literal)


@pytest.mark.parametrize(
    ("given_path", "sent"),
    [
        ("", "/"),
        ("?a=1", "/?a=1"),
        ("/a/../b/./c", "/a/../b/./c"),
        ("//double//slash", "//double//slash"),
        ("/%2e%2E/%c3%bc", "/%2e%2E/%c3%bc"),
        ("/?filter[type]=x&y=%20+", "/?filter[type]=x&y=%20+"),
        ("/a;b=c,d/!$&'()*~:@", "/a;b=c,d/!$&'()*~:@"),
        ("/grün?x=日", "/gr%C3%BCn?x=%E6%97%A5"),
        ('/{id}|<a>"^`', "/%7Bid%7D%7C%3Ca%3E%22%5E%60"),
        ("/a?b?c/d", "/a?b?c/d"),
    ],
)
def test_a_path_keeps_its_bytes_and_only_what_no_url_may_hold_is_encoded(
    given_path: str, sent: str
) -> None:
    assert parse_url(f"https://a.example{given_path}", PRODUCTION).path == sent


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("http://a.example/", "use https"),
        ("ftp://a.example/", "use https"),
        ("javascript://a.example/", "use https"),
        ("//a.example/", "not an absolute URL"),
        ("a.example/hook", "not an absolute URL"),
        ("https:/a.example/", "not an absolute URL"),
        ("https:a.example", "not an absolute URL"),
        ("mailto:a@a.example", "not an absolute URL"),
        ("", "not an absolute URL"),
        ("https://", "no host"),
        ("https:///path", "no host"),
        ("https://:443/", "no host"),
        ("https://?q", "no host"),
        ("https://user@a.example/", "credentials"),
        ("https://user:pass@a.example/", "credentials"),
        ("https://a.example@b.example/", "credentials"),
        ("https://@a.example/", "credentials"),
        ("https://a.example/#top", "fragment"),
        ("https://a.example#@b.example/", "fragment"),
        ("https://a.example:0/", "1 to 65535"),
        ("https://a.example:65536/", "1 to 65535"),
        ("https://a.example:/", "1 to 65535"),
        ("https://a.example:443a/", "1 to 65535"),
        ("https://a.example:-1/", "1 to 65535"),
        ("https://a.example:٤٤٣/", "1 to 65535"),
        ("https://a.example/ b", "space"),
        (" https://a.example/", "character 1 "),
        ("https://a.example/\n", "control character"),
        ("https://a.example/\r\nX: y", "control character"),
        ("https://a.exa\tmple/", "control character"),
        ("https://a.example/\x00", "control character"),
        ("https://a.example/\x7f", "control character"),
        ("https://a.example\\@b.example/", "backslash"),
        ("https:\\\\a.example/", "backslash"),
        ("https://a.example/\ud800", "surrogate"),
        ("https://a.example/%zz", "'%25'"),
        ("https://a.example/100%", "'%25'"),
        ("https://a.example/?a=%4", "'%25'"),
        ("https://%61.example/", "percent sign"),
        ("https://127.0.0.1%2f.a.example/", "percent sign"),
        ("https://a.example./", "ends in a dot"),
        ("https://a。example。/", "ends in a dot"),
        ("https://127.0.0.1./", "ends in a dot"),
        ("https://./", "ends in a dot"),
        ("https://a..example/", "not a label"),
        ("https://.example/", "not a label"),
        ("https://-a.example/", "not a label"),
        ("https://a-.example/", "not a label"),
        (f"https://{'a' * 64}.example/", "not a label"),
        ("https://a*b.example/", "not a label"),
        ("https://a,b/", "not a label"),
        (f"https://{'a.' * 130}example/", "253 characters"),
        ("https://☃︎\u0338.example/", "international"),
        ("https://a\u2024b.example\u2100/", "international"),
        (f"https://{'ü' * 64}.example/", "international"),
        ("https://2130706433/", "ends in a number"),
        ("https://0x7f000001/", "ends in a number"),
        ("https://0x7f.1/", "ends in a number"),
        ("https://0177.0.0.1/", "ends in a number"),
        ("https://127.1/", "ends in a number"),
        ("https://127.0.0.01/", "ends in a number"),
        ("https://1.2.3.4.5/", "ends in a number"),
        ("https://256.1.1.1/", "ends in a number"),
        ("https://a.example.0x/", "ends in a number"),
        ("https://a.0x7F/", "ends in a number"),
        ("https://①②⑦.1/", "ends in a number"),
        ("https://::1/", "in brackets"),
        ("https://fe80::1/", "in brackets"),
        ("https://[::1/", "IPv6 address is broken"),
        ("https://[::1]x/", "IPv6 address is broken"),
        ("https://[::1]]/", "IPv6 address is broken"),
        ("https://[]/", "not an IPv6 address"),
        ("https://[127.0.0.1]/", "not an IPv6 address"),
        ("https://[v1.x]/", "not an IPv6 address"),
        ("https://[fe80::1%25eth0]/", "zone"),
        ("https://[fe80::1%eth0]/", "zone"),
        ("https://[::1]:x/", "1 to 65535"),
        ("https://a.example/" + "a" * 2048, "2,048 characters"),
    ],
)
def test_a_url_is_refused_with_the_fix(url: str, fix: str) -> None:
    with pytest.raises(UrlRefused) as refused:
        parse_url(url, PRODUCTION)

    assert fix in refused.value.reason


def test_a_url_of_2048_characters_is_still_sent() -> None:
    url = "https://a.example/".ljust(2048, "a")

    assert parse_url(url, PRODUCTION).path == url.removeprefix("https://a.example")


def test_http_goes_where_the_policy_lets_it() -> None:
    assert parse_url("http://a.example/", OPEN).scheme == "http"


def test_only_the_configured_ports_are_used_and_the_refusal_names_them() -> None:
    policy = EgressPolicy(require_https=False, ports=frozenset({443, 8443}))

    assert parse_url("https://a.example:8443/", policy).port == 8443
    assert parse_url("https://a.example/", policy).port == 443
    for url in ("https://a.example:22/", "http://a.example/"):
        with pytest.raises(UrlRefused, match="use one of: 443, 8443"):
            parse_url(url, policy)


URLISH = st.text(
    st.sampled_from(list("aZ09.-_~:/?#[]@!$&'()*+,;=%|\\ \t\r\n\x00üß。\uff11%ﬀ\u200d\u00ad\ud800"))
    | st.characters(),
    max_size=60,
)


@given(scheme=st.sampled_from(["", "http://", "https://", "HTTPS://", "x://"]), rest=URLISH)
def test_any_text_is_a_target_or_a_refusal(scheme: str, rest: str) -> None:
    try:
        target = parse_url(scheme + rest, OPEN)
    except UrlRefused:
        return

    assert f"{target.authority}{target.path}".isascii()
    assert f"{target.authority}{target.path}".isprintable()
    assert " " not in target.authority + target.path
    assert parse_url(f"{target.scheme}://{target.authority}{target.path}", OPEN) == target


# --- Addresses ----------------------------------------------------------------------------------

VERDICTS = [
    ("0.0.0.0", "unspecified address"),
    ("0.1.2.3", "this network"),
    ("9.255.255.255", None),
    ("10.0.0.0", "private network"),
    ("10.255.255.255", "private network"),
    ("11.0.0.0", None),
    ("100.63.255.255", None),
    ("100.64.0.0", "carrier-grade NAT"),
    ("100.100.100.200", "cloud metadata"),
    ("100.127.255.255", "carrier-grade NAT"),
    ("100.128.0.0", None),
    ("126.255.255.255", None),
    ("127.0.0.1", "loopback"),
    ("127.255.255.255", "loopback"),
    ("128.0.0.0", None),
    ("168.63.129.16", "cloud metadata"),
    ("168.63.129.17", None),
    ("169.253.255.255", None),
    ("169.254.0.1", "link-local"),
    ("169.254.169.254", "cloud metadata"),
    ("169.254.170.2", "cloud metadata"),
    ("169.255.0.0", None),
    ("172.15.255.255", None),
    ("172.16.0.0", "private network"),
    ("172.31.255.255", "private network"),
    ("172.32.0.0", None),
    ("192.0.0.8", "IETF protocol assignments"),
    ("192.0.0.192", "cloud metadata"),
    ("192.0.1.0", None),
    ("192.0.2.1", "documentation"),
    ("192.31.196.1", "AS112 name servers"),
    ("192.52.193.1", "automatic multicast tunnelling"),
    ("192.88.98.255", None),
    ("192.88.99.1", "6to4 relay"),
    ("192.167.255.255", None),
    ("192.168.0.0", "private network"),
    ("192.168.255.255", "private network"),
    ("192.169.0.0", None),
    ("192.175.48.6", "AS112 name servers"),
    ("198.17.255.255", None),
    ("198.18.0.0", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("198.20.0.0", None),
    ("198.51.100.7", "documentation"),
    ("203.0.113.255", "documentation"),
    ("223.255.255.255", None),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.254", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("1.1.1.1", None),
    ("8.8.8.8", None),
    ("::", "unspecified address"),
    ("::1", "loopback"),
    ("::2", "IPv4-compatible"),
    ("::127.0.0.1", "IPv4-compatible"),
    ("::8.8.8.8", "IPv4-compatible"),
    ("::ffff:10.0.0.1", "IPv4-mapped"),
    ("::ffff:8.8.8.8", "IPv4-mapped"),
    ("::ffff:0:8.8.8.8", "IPv4-translated"),
    ("64:ff9b::8.8.8.8", "NAT64"),
    ("64:ff9b::7f00:1", "NAT64"),
    ("64:ff9b:1::1", "NAT64"),
    ("64:ff9b:1:ffff::1", "NAT64"),
    ("64:ff9b:2::1", "outside global unicast"),
    ("100::1", "discard-only"),
    ("1fff:ffff::1", "outside global unicast"),
    ("2001::1", "Teredo"),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
    ("2001:2::1", "benchmarking"),
    ("2001:4:112::1", "IETF protocol assignments"),
    ("2001:10::1", "ORCHID"),
    ("2001:20::1", "ORCHID"),
    ("2001:1ff:ffff::1", "IETF protocol assignments"),
    ("2001:200::1", None),
    ("2001:db8::1", "documentation"),
    ("2001:4860:4860::8888", None),
    ("2002:7f00:1::1", "6to4"),
    ("2002:808:808::1", "6to4"),
    ("2003::1", None),
    ("2606:4700:4700::1111", None),
    ("2606:4700::5efe:808:808", None),
    ("2606:4700::5efe:10.0.0.1", "ISATAP form of 10.0.0.1, private network"),
    ("2606:4700::200:5efe:127.0.0.1", "ISATAP form of 127.0.0.1, loopback"),
    ("2606:4700::300:5efe:169.254.169.254", "ISATAP form of 169.254.169.254, cloud metadata"),
    ("2606:4700::400:5efe:127.0.0.1", None),
    ("2620:4f:8000::1", "AS112 name servers"),
    ("3fff::1", "documentation"),
    ("3fff:1000::1", None),
    ("4000::1", "outside global unicast"),
    ("5f00::1", "segment routing"),
    ("fbff::1", "outside global unicast"),
    ("fc00::1", "unique local address"),
    ("fd00:ec2::254", "cloud metadata"),
    ("fd20:ce::254", "cloud metadata"),
    ("fdff::1", "unique local address"),
    ("fe80::1", "link-local"),
    ("febf::1", "link-local"),
    ("fec0::1", "site-local"),
    ("feff::1", "site-local"),
    ("ff02::1", "multicast"),
]


@pytest.mark.parametrize(("address", "verdict"), VERDICTS)
def test_an_address_is_blocked_by_the_name_of_its_range(address: str, verdict: str | None) -> None:
    assert blocked(ip_address(address), PRODUCTION) == verdict


@given(st.ip_addresses())
def test_what_the_standard_library_calls_private_is_never_dialled(
    address: IPv4Address | IPv6Address,
) -> None:
    special = address.is_private or address.is_multicast or address.is_reserved
    if special or address.is_link_local or address.is_loopback or address.is_unspecified:
        assert blocked(address, PRODUCTION) is not None


def test_the_allow_list_opens_the_network_it_names_and_no_other() -> None:
    assert blocked(ip_address("127.0.0.1"), DEVELOPMENT) is None
    assert blocked(ip_address("127.255.0.9"), DEVELOPMENT) is None
    assert blocked(ip_address("::1"), DEVELOPMENT) == "loopback"
    assert blocked(ip_address("10.0.0.1"), DEVELOPMENT) == "private network"
    assert blocked(ip_address("::ffff:127.0.0.1"), DEVELOPMENT) == "IPv4-mapped"


@pytest.mark.parametrize(
    ("network", "address", "verdict"),
    [
        ("64:ff9b::/96", "64:ff9b::8.8.8.8", None),
        ("64:ff9b::/96", "64:ff9b::10.0.0.1", "NAT64 form of 10.0.0.1, private network"),
        ("64:ff9b:1::/48", "64:ff9b:1::127.0.0.1", "NAT64 form of 127.0.0.1, loopback"),
        (
            "::ffff:0:0/96",
            "::ffff:169.254.169.254",
            "IPv4-mapped form of 169.254.169.254, cloud metadata",
        ),
        ("::/0", "::192.168.0.1", "IPv4-compatible form of 192.168.0.1, private network"),
        ("::/0", "::ffff:0:127.0.0.1", "IPv4-translated form of 127.0.0.1, loopback"),
        ("::/0", "2002:a00:1::1", "6to4 form of 10.0.0.1, private network"),
        ("2001::/32", "2001:0:a00:1::", "Teredo server form of 10.0.0.1, private network"),
        (
            "2001::/32",
            "2001:0:808:808::f5ff:fffe",
            "Teredo client form of 10.0.0.1, private network",
        ),
        ("2001::/32", "2001:0:808:808::f7f7:f7f7", None),
        ("::/0", "::1", None),
    ],
)
def test_an_allowed_ipv6_network_does_not_open_the_ipv4_addresses_it_carries(
    network: str, address: str, verdict: str | None
) -> None:
    policy = EgressPolicy(allow=(ip_network(network),))

    assert blocked(ip_address(address), policy) == verdict


def test_a_carrier_and_what_it_carries_may_both_be_allowed() -> None:
    policy = EgressPolicy(allow=(ip_network("64:ff9b::/96"), ip_network("10.0.0.0/8")))

    assert blocked(ip_address("64:ff9b::10.0.0.1"), policy) is None


@given(st.ip_addresses(v=4))
def test_no_carrier_reaches_a_blocked_ipv4_address(inner: IPv4Address) -> None:
    everything = EgressPolicy(allow=(ip_network("::/0"),))
    carriers = [
        int(IPv6Address("::ffff:0:0")) | int(inner),
        int(IPv6Address("64:ff9b::")) | int(inner),
        int(IPv6Address("2002::")) | int(inner) << 80,
        int(IPv6Address("2606:4700::5efe:0:0")) | int(inner),
    ]

    for number in carriers:
        carried = blocked(IPv6Address(number), everything)
        assert (carried is None) == (blocked(inner, PRODUCTION) is None)


@given(st.ip_addresses())
def test_a_firewall_that_holds_the_blocks_stops_what_is_never_dialled(
    address: IPv4Address | IPv6Address,
) -> None:
    """All but the IPv6 addresses that have an IPv4 address hidden in them."""
    let_through = any(
        address in public and not any(address in block for block in blocks)
        for public, blocks in never_reached().items()
    )

    assert let_through or blocked(address, PRODUCTION) is not None
    if isinstance(address, IPv4Address):
        assert let_through == (blocked(address, PRODUCTION) is None)
