"""Which URLs and which addresses an endpoint may have. Pure: no look-up and no socket in here.

Endpoints are URLs that strangers choose, and Hooklane calls them from inside somebody's network.
Two questions are answered here, both before anything is sent:

1. ``parse_url``: is this a URL that a webhook may go to? It refuses instead of repairing. Request
   forgery lives on two parsers that read one text differently, so there is one parse: the name that
   is resolved, the ``Host`` header, the SNI and the connection all come from the ``Target`` that it
   returns. The grammar is RFC 3986's. Libraries that parse URLs (yarl, httpx, urllib) repair: they
   re-quote paths, drop tabs, keep ``127.1``; a receiver may depend on its path's exact bytes, so
   only the parts come from libraries, names from ``idna`` and literals from ``ipaddress``.
2. ``blocked``: may this address be dialled? To be asked for every address that a name has, and for
   literals too. The tables are IANA's special-purpose registries (RFC 6890 and its updates) and the
   metadata services of the clouds; in IPv6 all that is outside 2000::/3 is refused as well. An IPv6
   address that carries an IPv4 address is judged by both.

It must not import an HTTP client, asyncio or anything else that performs I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
)
from typing import Final, Literal

import idna
import msgspec

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
Scheme = Literal["http", "https"]

URL_CHARACTERS_MAX: Final = 2_048
NAME_CHARACTERS_MAX: Final = 253  # RFC 1035, 2.3.4, without the trailing dot
DEFAULT_PORTS: Final[dict[Scheme, int]] = {"http": 80, "https": 443}


class EgressPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What endpoints may be: ``allow`` lists networks that are dialled although they are special.

    ``ports`` are the only ones that endpoints may use, None for any. The defaults are production's.
    """

    allow: tuple[IPNetwork, ...] = ()
    require_https: bool = True
    ports: frozenset[int] | None = None


class Target(msgspec.Struct, frozen=True):
    """Where a webhook goes, taken apart once.

    ``host`` is lower-case ASCII (IDNA), an IPv6 literal without its brackets. ``path`` is path and
    query, percent-encoded, with the bytes that were given. ``authority`` is the ``Host`` header
    (the port only where it is not the scheme's own). ``origin`` names what may share a connection.
    ``literal`` is the host as an address if it is one.
    """

    scheme: Scheme
    host: str
    port: int
    path: str
    authority: str
    origin: str
    literal: IPAddress | None = None


class UrlRefused(ValueError):
    """No webhook goes to this URL; ``reason`` says why and names the fix."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_url(url: str, policy: EgressPolicy) -> Target:
    """Return the parts of ``url``; raises UrlRefused with the reason and the fix."""
    _check_characters(url)
    parts = _URL.fullmatch(url)
    if parts is None:
        raise UrlRefused("this is not an absolute URL; write https://host/path")
    scheme = _checked_scheme(parts["scheme"].lower(), policy)
    if parts["fragment"] is not None:
        raise UrlRefused("the URL has a fragment, which is never sent; remove '#' and what follows")
    host, literal, port_text = _split_authority(parts["authority"])
    port = _checked_port(port_text, scheme, policy)
    shown = f"[{host}]" if isinstance(literal, IPv6Address) else host
    return Target(
        scheme=scheme,
        host=host,
        port=port,
        path=_checked_path(parts["path"]),
        authority=shown if port == DEFAULT_PORTS[scheme] else f"{shown}:{port}",
        origin=f"{scheme}://{shown}:{port}",
        literal=literal,
    )


def never_reached() -> dict[IPNetwork, list[IPNetwork]]:
    """Return, for each network of public addresses, the blocks in it that are none.

    What a firewall in front of the workers can hold besides; forms that carry an IPv4 address in
    them are only known to ``blocked``.
    """
    v4: list[IPNetwork] = list(collapse_addresses(network for network, _ in _V4_RANGES))
    inside = (network for network, _ in _V6_RANGES if network.subnet_of(_V6_GLOBAL_UNICAST))
    v6: list[IPNetwork] = list(collapse_addresses(inside))
    return {IPv4Network("0.0.0.0/0"): v4, _V6_GLOBAL_UNICAST: v6}


def blocked(address: IPAddress, policy: EgressPolicy) -> str | None:
    """Return the name of the special range that ``address`` is in, or None if it may be dialled.

    A network in ``policy.allow`` overrules the tables, for what it names: allowing 64:ff9b::/96
    (a cluster behind NAT64) does not allow 64:ff9b::10.0.0.1 unless 10.0.0.1 is allowed too.
    """
    reason = _range_of(address, policy)
    if reason is not None or isinstance(address, IPv4Address):
        return reason
    for carrier, inner in _embedded(address):
        inner_reason = _range_of(inner, policy)
        if inner_reason is not None:
            return f"{carrier} of {inner}, {inner_reason}"
    return None


# --- URLs ---------------------------------------------------------------------------------------

_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://"
    r"(?P<authority>[^/?#]*)(?P<path>[^#]*)(?P<fragment>#.*)?"
)
_BRACKETED: Final = re.compile(r"\[(?P<literal>[^\[\]]*)\](?::(?P<port>.*))?")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f\\]")
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# What RFC 3986 allows in a path or a query, and the brackets that many query strings hold as they
# are. The rest is written as the UTF-8 bytes of the character, percent-encoded (RFC 3987, 3.1).
_NOT_IN_PATH: Final = re.compile(r"[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%\[\]]")


def _check_characters(url: str) -> None:
    if len(url) > URL_CHARACTERS_MAX:
        raise UrlRefused(f"the URL has over {URL_CHARACTERS_MAX:,} characters; shorten it")
    unsafe = _UNSAFE.search(url)
    if unsafe is not None:
        raise UrlRefused(
            f"character {unsafe.start() + 1} of the URL is a space, a control character or a"
            " backslash; percent-encode or remove it"
        )
    try:
        url.encode()
    except UnicodeEncodeError as error:
        where = error.start + 1
        raise UrlRefused(f"character {where} of the URL is half of a surrogate pair") from None


def _checked_scheme(scheme: str, policy: EgressPolicy) -> Scheme:
    if scheme not in DEFAULT_PORTS:
        raise UrlRefused(f"the scheme is {scheme[:32]!r}; use https")
    if policy.require_https and scheme != "https":
        raise UrlRefused("the scheme is 'http'; use https")
    return scheme


def _split_authority(authority: str) -> tuple[str, IPAddress | None, str | None]:
    """Return the host, the host as an address if it is one, and the port's text."""
    if "@" in authority:
        raise UrlRefused("the URL holds credentials; remove what stands before '@' in the host")
    if authority.startswith("["):
        bracketed = _BRACKETED.fullmatch(authority)
        if bracketed is None:
            raise UrlRefused("the IPv6 address is broken; write [address] or [address]:port")
        literal = _ipv6_literal(bracketed["literal"])
        return str(literal), literal, bracketed["port"]
    name, colon, port_text = authority.partition(":")
    if ":" in port_text:
        raise UrlRefused("the host has more than one colon; write an IPv6 address in brackets")
    host = _checked_name(name)
    return host, _ipv4_literal(host), port_text if colon else None


def _ipv6_literal(text: str) -> IPv6Address:
    if "%" in text:
        raise UrlRefused("the IPv6 address names a zone; remove '%' and what follows")
    try:
        return IPv6Address(text)
    except AddressValueError:
        raise UrlRefused(f"{text[:64]!r} in brackets is not an IPv6 address") from None


def _ipv4_literal(host: str) -> IPv4Address | None:
    """Return ``host`` as an address if it ends in a number.

    ``2130706433``, ``127.1``, ``0x7f.1`` and ``0177.0.0.1`` are 127.0.0.1 for many resolvers
    (inet_aton). As in the WHATWG URL standard, 3.5, a host whose last label is a number is an
    address; unlike there, only the plain dotted form is taken.
    """
    if _NUMBER.fullmatch(host.rpartition(".")[2]) is None:
        return None
    try:
        return IPv4Address(host)
    except AddressValueError:
        raise UrlRefused(
            f"the host {host[:64]!r} ends in a number, but is not an IPv4 address;"
            " write four decimal numbers without leading zeros"
        ) from None


def _checked_name(name: str) -> str:
    """Return the name in lower-case ASCII."""
    if not name:
        raise UrlRefused("the URL has no host; write https://host/path")
    if "%" in name:
        raise UrlRefused("the host has a percent sign; write the host as plain text")
    host = _ascii_name(name).lower()
    if host.endswith("."):
        raise UrlRefused("the host ends in a dot; remove the dot")
    if len(host) > NAME_CHARACTERS_MAX:
        raise UrlRefused(f"the host has over {NAME_CHARACTERS_MAX} characters")
    for label in host.split("."):
        if _LABEL.fullmatch(label) is None:
            raise UrlRefused(
                f"{label[:64]!r} in the host is not a label of a domain name: 1 to 63 letters,"
                " digits, hyphens (not first or last) and underscores"
            )
    return host


def _ascii_name(name: str) -> str:
    """Return the A-label form (RFC 5891) of an international name, mapped as browsers do."""
    if name.isascii():
        return name
    try:
        return idna.encode(name, uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError as error:
        raise UrlRefused(f"the host is not a valid international domain name: {error}") from None


def _checked_port(text: str | None, scheme: Scheme, policy: EgressPolicy) -> int:
    if text is None:
        port = DEFAULT_PORTS[scheme]
    elif _PORT.fullmatch(text) and 1 <= int(text) <= 65_535:
        port = int(text)
    else:
        raise UrlRefused(f"the port {text[:16]!r} is not a number from 1 to 65535")
    if policy.ports is not None and port not in policy.ports:
        allowed = ", ".join(str(number) for number in sorted(policy.ports))
        raise UrlRefused(f"the port {port} is not allowed; use one of: {allowed}")
    return port


def _checked_path(text: str) -> str:
    broken = _BROKEN_ESCAPE.search(text)
    if broken is not None:
        shown = text[broken.start() : broken.start() + 3]
        raise UrlRefused(f"{shown!r} in the path is not percent-encoding; write '%' as '%25'")
    encoded = _NOT_IN_PATH.sub(_percent_encoded, text)
    return encoded if encoded.startswith("/") else f"/{encoded}"


def _percent_encoded(character: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in character[0].encode())


# --- Addresses ----------------------------------------------------------------------------------

# The first match names the range, so the narrow ones stand before the wide ones.
_V4_RANGES: Final = tuple(
    (IPv4Network(block), name)
    for block, name in (
        ("169.254.169.254/32", "cloud metadata"),
        ("169.254.170.2/32", "cloud metadata"),  # AWS ECS task credentials
        ("168.63.129.16/32", "cloud metadata"),  # Azure's wire server, outside any special range
        ("100.100.100.200/32", "cloud metadata"),  # Alibaba Cloud
        ("192.0.0.192/32", "cloud metadata"),  # Oracle Cloud
        ("0.0.0.0/32", "unspecified address"),
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private network"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private network"),
        ("192.0.0.0/24", "IETF protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112 name servers"),
        ("192.52.193.0/24", "automatic multicast tunnelling"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private network"),
        ("192.175.48.0/24", "AS112 name servers"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_V6_RANGES: Final = tuple(
    (IPv6Network(block), name)
    for block, name in (
        ("fd00:ec2::254/128", "cloud metadata"),  # AWS
        ("fd20:ce::254/128", "cloud metadata"),  # Google Cloud
        ("::/128", "unspecified address"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("::/96", "IPv4-compatible"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "NAT64"),
        ("100::/64", "discard-only"),
        ("2001::/32", "Teredo"),
        ("2001:2::/48", "benchmarking"),
        ("2001:db8::/32", "documentation"),
        ("2001:10::/28", "ORCHID"),
        ("2001:20::/28", "ORCHID"),
        ("2001::/23", "IETF protocol assignments"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112 name servers"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "unique local address"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_V6_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")

_CARRIERS: Final = tuple(  # how far right the IPv4 address lies in each range that carries one
    (IPv6Network(block), name, shift)
    for block, name, shift in (
        ("::ffff:0:0/96", "IPv4-mapped form", 0),
        ("::ffff:0:0:0/96", "IPv4-translated form", 0),
        ("::/96", "IPv4-compatible form", 0),
        ("64:ff9b::/96", "NAT64 form", 0),
        ("64:ff9b:1::/48", "NAT64 form", 0),
        ("2002::/16", "6to4 form", 80),
        ("2001::/32", "Teredo server form", 64),
    )
)
_LOW_32_BITS: Final = 0xFFFF_FFFF
_NOT_EMBEDDING: Final = frozenset({IPv6Address("::"), IPv6Address("::1")})
_TEREDO: Final = IPv6Network("2001::/32")
_ISATAP_ID: Final = 0x0000_5EFE  # RFC 5214, 6.1; the bits for "universal" and "group" vary
_ISATAP_MASK: Final = 0xFCFF_FFFF


def _range_of(address: IPAddress, policy: EgressPolicy) -> str | None:
    if any(address in network for network in policy.allow):
        return None
    if isinstance(address, IPv4Address):
        return next((name for network, name in _V4_RANGES if address in network), None)
    for network, name in _V6_RANGES:
        if address in network:
            return name
    return None if address in _V6_GLOBAL_UNICAST else "outside global unicast"


def _embedded(address: IPv6Address) -> Iterator[tuple[str, IPv4Address]]:
    """Yield each IPv4 address that ``address`` would be turned into on its way."""
    if address in _NOT_EMBEDDING:
        return
    number = int(address)
    for network, name, shift in _CARRIERS:
        if address in network:
            yield name, IPv4Address(number >> shift & _LOW_32_BITS)
    if address in _TEREDO:  # the client's address is stored inverted (RFC 4380, 4)
        yield "Teredo client form", IPv4Address(~number & _LOW_32_BITS)
    if number >> 32 & _ISATAP_MASK == _ISATAP_ID:
        yield "ISATAP form", IPv4Address(number & _LOW_32_BITS)
