"""``python -m bench.receiver``: answers every POST with 200 and remembers when it came.

Prints its port. On a line with a number it waits until so many requests have arrived, then prints
what it saw as JSON and forgets it; it ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import Final, cast

import uvloop

ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_SENT: Final = re.compile(rb'"sent_s": ?"([0-9.]+)"')


class Seen:
    """What has arrived since the last report."""

    def __init__(self) -> None:
        self.count = 0
        self.first_s = 0.0
        self.last_s = 0.0
        self.latencies_ms: list[float] = []
        self._wanted = 0
        self._enough = asyncio.Event()

    def note(self, body: bytes) -> None:
        """Take one request."""
        now_s = time.time()
        self.count += 1
        if self.count == self._wanted:
            self._enough.set()
        self.first_s = self.first_s or now_s
        self.last_s = now_s
        sent = _SENT.search(body)
        if sent is not None:
            self.latencies_ms.append((now_s - float(sent.group(1))) * 1000)

    async def reached(self, count: int) -> None:
        """Wait until so many requests have arrived."""
        self._wanted = count
        if self.count < count:
            await self._enough.wait()

    def figures(self) -> dict[str, object]:
        """Return what is reported."""
        return {
            "first_s": self.first_s,
            "last_s": self.last_s,
            "latencies_ms": self.latencies_ms,
        }


class Connection(asyncio.Protocol):
    """One keep-alive connection of the sender."""

    def __init__(self, seen: list[Seen]) -> None:
        self._seen = seen
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to answer."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none of asyncio's

    def data_received(self, data: bytes) -> None:
        """Answer every complete request."""
        self._buffer += data
        while (end := self._buffer.find(_HEAD_END)) >= 0:
            length = _LENGTH.search(self._buffer, 0, end)
            stop = end + len(_HEAD_END) + int(length.group(1) if length else 0)
            if len(self._buffer) < stop:
                return
            self._seen[0].note(self._buffer[end:stop])
            self._buffer = self._buffer[stop:]
            assert self._transport is not None
            self._transport.write(ANSWER)


async def main() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    seen = [Seen()]
    server = await loop.create_server(lambda: Connection(seen), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        report = seen[0]
        await report.reached(int(line))
        seen[0] = Seen()
        print(json.dumps(report.figures()), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
