"""From a host to the addresses that may be dialled for it.

Every address of a name is judged by ``shared.policy.addresses``; one blocked address blocks the
name, since which of them a later connection gets is the name owner's to choose. What passed is what
is dialled: there is no second look-up that could say something else (DNS rebinding).

Answers are cached for their TTL within bounds, failures too, and at most one look-up per name is
under way; a caller that stops waiting does not stop the look-up for the others. A look-up that
never ends is given up after ``name_lookup_ms_max``. The resolver is a port: ``ares`` in production.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Protocol

import msgspec

from shared.http.limits import Limits
from shared.http.messages import Refusal
from shared.policy.addresses import EgressPolicy, IPAddress, Target, blocked

_LOCALHOST: Final = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


class Resolved(msgspec.Struct, frozen=True):
    """A name's addresses in the order to try them, and how long they are good for."""

    addresses: tuple[IPAddress, ...]
    ttl_s: float


class LookupFailed(Exception):
    """A resolver found no address; the message says why in words for the delivery log."""


class Resolver(Protocol):
    """Turns names into addresses; the port that adapters implement."""

    async def lookup(self, name: str) -> Resolved:
        """Return the name's addresses; raises LookupFailed. Must not block the event loop."""
        ...

    async def close(self) -> None:
        """Release sockets and threads."""
        ...


Vetted = tuple[IPAddress, ...] | Refusal


class _Entry(msgspec.Struct, frozen=True):
    answer: Vetted
    good_until: float


class Names:
    """The vetted addresses of hosts, cached."""

    def __init__(
        self,
        resolver: Resolver,
        policy: EgressPolicy,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self._resolver = resolver
        self._policy = policy
        self._limits = limits
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lookups: dict[str, asyncio.Task[Vetted]] = {}

    async def resolve(self, target: Target) -> Vetted:
        """Return the addresses that may be dialled for ``target``, or why there are none.

        Cancelling it leaves the look-up running for others who wait for the same name.
        """
        if target.literal is not None:
            return self._vet(target.host, (target.literal,))
        if target.host == "localhost" or target.host.endswith(".localhost"):
            return self._localhost(target.host)
        entry = self._entries.get(target.host)
        if entry is not None and self._clock() < entry.good_until:
            self._entries.move_to_end(target.host)
            return entry.answer
        lookup = self._lookups.get(target.host)
        if lookup is None:
            lookup = asyncio.create_task(self._look_up(target.host))
            self._lookups[target.host] = lookup
            lookup.add_done_callback(lambda _: self._lookups.pop(target.host))
        return await asyncio.shield(lookup)

    async def close(self) -> None:
        """Give up all look-ups and close the resolver."""
        lookups = list(self._lookups.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)
        await self._resolver.close()

    async def _look_up(self, name: str) -> Vetted:
        limits = self._limits
        answer: Vetted
        try:
            async with asyncio.timeout(limits.name_lookup_ms_max / 1_000):
                found = await self._resolver.lookup(name)
        except (LookupFailed, TimeoutError) as error:
            reason = str(error) or f"no answer within {limits.name_lookup_ms_max:,} ms"
            answer = Refusal("dns", f"{name} has no address: {reason}")
            ttl_ms = float(limits.name_failure_ttl_ms)
        else:
            answer = self._vet(name, found.addresses)
            ttl_ms = min(max(found.ttl_s * 1_000, limits.name_ttl_ms_min), limits.name_ttl_ms_max)
        self._remember(name, _Entry(answer, self._clock() + ttl_ms / 1_000))
        return answer

    def _vet(self, host: str, addresses: tuple[IPAddress, ...]) -> Vetted:
        if not addresses:
            return Refusal("dns", f"{host} has no address")
        for address in addresses:
            reason = blocked(address, self._policy)
            if reason is not None:
                # Not which address: whoever owns the endpoint could map our network by its names.
                how = "resolves to an address" if host != str(address) else "is"
                advice = "allow it with HOOKLANE_EGRESS_ALLOW"
                return Refusal("blocked", f"{host} {how} in a blocked range ({reason}); {advice}")
        return addresses

    def _localhost(self, host: str) -> Vetted:
        """Return the loopback addresses that are allowed, without asking anyone (RFC 6761, 6.3).

        Nobody outside chose these two, so that one is blocked does not speak against the other:
        allowing 127.0.0.0/8 is enough for ``localhost``.
        """
        allowed = tuple(a for a in _LOCALHOST if blocked(a, self._policy) is None)
        return allowed or self._vet(host, _LOCALHOST)

    def _remember(self, name: str, entry: _Entry) -> None:
        self._entries[name] = entry
        self._entries.move_to_end(name)
        if len(self._entries) > self._limits.names_max:
            self._entries.popitem(last=False)
