"""Which address a request comes from, when it has come through proxies.

``X-Forwarded-For`` is what anybody may write. It is believed as far as trusted proxies have written
it: from its end, up to the first address that is not one of theirs. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

Networks = Sequence[IPv4Network | IPv6Network]


def source_of(peer: str | None, forwarded: Sequence[str], trusted: Networks) -> str | None:
    """Return the address of the first one that is not ``trusted``, going back from ``peer``.

    ``forwarded`` are the values of ``X-Forwarded-For``, in the order of the header lines.
    """
    said = [part.strip() for value in forwarded for part in value.split(",")]
    source = peer
    while source is not None and _is_in(source, trusted) and said:
        before = said.pop()
        if _read(before) is None:
            break
        source = before
    return source


def _is_in(address: str, networks: Networks) -> bool:
    found = _read(address)
    return found is not None and any(found in network for network in networks)


def _read(text: str) -> object | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
