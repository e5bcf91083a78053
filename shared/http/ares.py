"""The Resolver over c-ares (aiodns): many names at once, a slow one keeps none of the others back.

It reads the hosts file and the system's name servers. It does not use the system's search list: an
endpoint's host is a full name, and a list of five domains, as Kubernetes has it, would make six
questions of each.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

import aiodns
import pycares

from shared.http.names import LookupFailed, Resolved

_FLAGS: Final = pycares.ARES_FLAG_NOSEARCH | pycares.ARES_FLAG_EDNS


class AresResolver:
    """Looks names up with c-ares. To be made within the running event loop.

    ``servers`` (``host`` or ``host:port``) replaces the system's name servers; each is asked
    ``tries`` times and given ``timeout_ms`` the first time, longer later.
    """

    def __init__(
        self, *, servers: Sequence[str] | None = None, timeout_ms: int = 1_500, tries: int = 2
    ) -> None:
        self._channel = aiodns.DNSResolver(
            nameservers=servers, timeout=timeout_ms / 1_000, tries=tries, flags=_FLAGS
        )

    async def lookup(self, name: str) -> Resolved:
        """Return the name's A and AAAA addresses, sorted as RFC 6724 says; raises LookupFailed."""
        try:
            found = await self._channel.getaddrinfo(name, type=socket.SOCK_STREAM)
        except aiodns.error.DNSError as error:
            raise LookupFailed(str(error.args[-1]).lower()) from None
        addresses = tuple(ip_address(node.addr[0].decode("ascii")) for node in found.nodes)
        ttl_s = min((node.ttl for node in found.nodes), default=0)
        return Resolved(addresses=addresses, ttl_s=float(ttl_s))

    async def close(self) -> None:
        """Stop the resolver; look-ups under way fail."""
        await self._channel.close()
