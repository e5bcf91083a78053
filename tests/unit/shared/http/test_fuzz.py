"""Whatever a receiver sends and however it ends, each attempt has one outcome and nothing leaks."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.http.messages import Answered, Outcome, Unanswered
from shared.http.transport import Transport
from tests.support.raw_server import OK, Peer, RawServer, silence
from tests.unit.shared.http.conftest import LOOPS
from tests.unit.shared.http.kit import open_transport, post, until

WHOLE = [
    OK,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nT: 1\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.0 500 No\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
]
PIECES = [
    b"HTTP/1.1 ",
    b"200 OK",
    b"\r\n",
    b"\r\n\r\n",
    b"Content-Length: 5",
    b"Content-Length: 18446744073709551616",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"X: " + b"z" * 40_000,
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"ffffffffffffffff\r\n",
    b"z" * 70_000,
    b"\x00",
    b"\xff\xfe",
]
SENT = st.lists(
    st.sampled_from(WHOLE) | st.sampled_from(PIECES) | st.binary(max_size=20), max_size=6
)


async def _half_close(peer: Peer) -> None:
    peer.half_close()
    await peer.until_client_closes()


async def _reset(peer: Peer) -> None:
    peer.reset()


async def _close(_: Peer) -> None:
    pass


ENDS = {"half-close": _half_close, "reset": _reset, "close": _close, "wait": silence}


class Rig:
    """One event loop, one transport and one server that plays what the example says."""

    def __init__(self, loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.runner = asyncio.Runner(loop_factory=loop_factory)
        self.stack = AsyncExitStack()
        self.sent: list[bytes] = []
        self.end = "close"
        self.cut = False
        self.runner.run(self._open())

    async def _open(self) -> None:
        self.server = await self.stack.enter_async_context(RawServer(self._play))
        self.transport: Transport = await self.stack.enter_async_context(open_transport())

    async def _play(self, peer: Peer) -> None:
        await peer.request()
        for piece in self.sent:
            middle = len(piece) // 2 if self.cut else 0
            await peer.send(piece[:middle])
            await asyncio.sleep(0)
            await peer.send(piece[middle:])
        if self.end == "answer more":
            await self._play(peer)
        else:
            await ENDS[self.end](peer)

    async def run(self, attempts: int) -> None:
        outcomes: list[Outcome] = []
        request = post(self.server.url(), timeout_ms=100)
        for _ in range(attempts):
            expected = len(outcomes) + 1
            self.transport.start(request, outcomes.append)
            await until(lambda: len(outcomes) >= expected, lambda: outcomes)  # noqa: B023
        stats = self.transport.stats
        assert len(outcomes) == attempts
        assert all(isinstance(outcome, Answered | Unanswered) for outcome in outcomes)
        assert all(getattr(outcome, "kind", "") != "local" for outcome in outcomes)
        assert (stats.in_flight, stats.queued) == (0, 0)
        await until(self._quiet, lambda: self.transport.stats)

    def _quiet(self) -> bool:
        stats = self.transport.stats
        return stats.open == stats.idle and stats.opening == 0

    def close(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()


@pytest.fixture(params=list(LOOPS.values()), ids=list(LOOPS))
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = Rig(request.param)
    yield made
    made.close()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sent=SENT,
    end=st.sampled_from([*ENDS, "answer more"]),
    cut=st.booleans(),
    attempts=st.integers(1, 3),
)
def test_any_bytes_and_any_end_give_one_outcome_per_attempt_and_leak_nothing(
    rig: Rig, sent: list[bytes], end: str, cut: bool, attempts: int
) -> None:
    rig.sent, rig.end, rig.cut = sent, end, cut
    rig.runner.run(rig.run(attempts))
