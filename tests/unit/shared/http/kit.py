"""What the HTTP sender's tests share: a transport to use, names to resolve."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from ipaddress import ip_address, ip_network
from typing import Final

from shared.http.limits import Limits
from shared.http.messages import Answered, OutgoingRequest, Unanswered, render_headers
from shared.http.names import LookupFailed, Resolved
from shared.http.transport import Transport
from shared.policy.addresses import EgressPolicy, parse_url
from tests.support import polling

LOOPBACK = EgressPolicy(require_https=False, allow=(ip_network("127.0.0.0/8"),))
PRODUCTION = EgressPolicy(require_https=False)
AMPLE_MS: Final = 700  # a deadline that a busy machine meets with what leads up to a wait
TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # quicker to make than the default


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class FakeResolver:
    """Knows the names it is given. Each look-up takes the next answer, the last one stays.

    An answer is a list of addresses or a reason to fail. ``hold`` makes look-ups wait until it is
    set; ``asked`` lists them.
    """

    def __init__(self, answers: dict[str, Sequence[list[str] | str]] | None = None) -> None:
        self._answers = {name: list(those) for name, those in (answers or {}).items()}
        self.asked: list[str] = []
        self.ttl_s = 30.0
        self.hold: asyncio.Event | None = None
        self.closed = False

    async def lookup(self, name: str) -> Resolved:
        self.asked.append(name)
        if self.hold is not None:
            await self.hold.wait()
        answers = self._answers.get(name, ["no such name"])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, str):
            raise LookupFailed(answer)
        return Resolved(addresses=tuple(map(ip_address, answer)), ttl_s=self.ttl_s)

    async def close(self) -> None:
        self.closed = True


@contextlib.asynccontextmanager
async def open_transport(
    resolver: FakeResolver | None = None,
    *,
    policy: EgressPolicy = LOOPBACK,
    tls: ssl.SSLContext | None = None,
    limits: Limits | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Transport]:
    """Open a transport; at the end nothing of it may be left."""
    transport = Transport(
        policy=policy,
        resolver=resolver or FakeResolver(),
        tls=tls or TRUSTS_NOBODY,
        limits=limits,
        clock=clock,
    )
    try:
        yield transport
    finally:
        await transport.close()
        left = transport.stats
        assert left.open + left.opening + left.idle + left.in_flight + left.queued == 0, left


def post(
    url: str,
    body: bytes = b"{}",
    *,
    headers: Sequence[tuple[str, str]] = (("Content-Type", "application/json"),),
    timeout_ms: int = 5_000,
    response_bytes_max: int = 16_384,
    policy: EgressPolicy = LOOPBACK,
) -> OutgoingRequest:
    return OutgoingRequest(
        target=parse_url(url, policy),
        headers=render_headers(headers),
        body=body,
        timeout_ms=timeout_ms,
        response_bytes_max=response_bytes_max,
    )


async def answered(transport: Transport, request: OutgoingRequest) -> Answered:
    """Send ``request`` and return its answer."""
    outcome = await transport.send(request)
    assert isinstance(outcome, Answered), outcome
    return outcome


async def unanswered(transport: Transport, request: OutgoingRequest) -> Unanswered:
    """Send ``request`` and return why there was no answer."""
    outcome = await transport.send(request)
    assert isinstance(outcome, Unanswered), outcome
    return outcome


async def until(holds: Callable[[], bool], state: Callable[[], object]) -> None:
    """Wait until ``holds``; ``state`` tells what was seen last, should it be in vain."""

    async def look() -> tuple[bool, object]:
        return holds(), state()

    await polling.until(look, lambda seen: seen[0], what="what was waited for", every_s=0.002)
