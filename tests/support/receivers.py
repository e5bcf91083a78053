"""A receiver of webhooks that answers as it is told, and what is kept of each request.

``ScriptedReceiver`` runs in the test's own process. It answers each path by its script (any status,
slowly, never, with a reset) and keeps every request with its time of arrival. Signatures are
checked from the guides' words, without Hooklane's code. The guides' own receivers, as programs, are
in ``samples.py``.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Literal, Self

import msgspec

from deploy.local import ports
from tests.support.polling import until_true

TICK_S: Final = 0.001
HEAD_BYTES_MAX: Final = 64 * 1024
ARRIVES_WITHIN_S: Final = 15.0


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A request as received. Header names are lower case; times are of this machine's clocks.

    ``status`` is what was answered, None where nothing was. ``arrived_s`` and ``answered_s`` are
    seconds of the receiver's clock: monotonic in process, Unix time in a sample.
    """

    path: str
    headers: dict[str, str]
    body: bytes
    status: int | None
    arrived_s: float = 0.0
    answered_s: float = 0.0

    @property
    def event_id(self) -> str:
        """Return the webhook's event id, under whichever name the profile sends it."""
        return _first(self.headers, ("x-qr3-event-id", "x-xqr-event-id", "webhook-id"))

    @property
    def attempt(self) -> int:
        """Return the attempt's number."""
        return int(_first(self.headers, ("x-qr3-attempt", "x-xqr-attempt", "webhook-attempt")))

    @property
    def signature(self) -> str:
        """Return the signature's header."""
        return _first(self.headers, ("x-qr3-signature", "x-xqr-signature", "webhook-signature"))

    def json(self) -> Any:
        """Return the body, parsed."""
        return json.loads(self.body)


def is_signed(request: Received, secret: str) -> bool:
    """Return whether a request is signed with ``secret``, in the scheme that its headers name."""
    if "webhook-signature" in request.headers:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{request.event_id}.{request.headers['webhook-timestamp']}.".encode()
        digest = hmac.new(key, signed + request.body, hashlib.sha256).digest()
        return request.signature == f"v1,{base64.b64encode(digest).decode()}"
    expected = hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
    return request.signature == f"sha256={expected}"


def waits_s(attempts: Sequence[Received]) -> list[float]:
    """Return the time from each attempt's end to the next one's start, rounded up to the tick.

    Hooklane's clock ticks in milliseconds, so a wait may be up to one shorter than it was set.
    """
    pairs = itertools.pairwise(attempts)
    return [later.arrived_s - earlier.answered_s + TICK_S for earlier, later in pairs]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a path answers: after ``delay_s``, a response, or a reset, or nothing for ever."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b"ok"
    delay_s: float = 0.0
    manner: Literal["respond", "hang", "reset"] = "respond"

    def rendered(self) -> bytes:
        """Return the response's bytes."""
        lines = [f"HTTP/1.1 {self.status} Scripted", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body


OK: Final = Answer()
HANG: Final = Answer(manner="hang")
RESET: Final = Answer(manner="reset")


def failing(status: int = 500, *, retry_after: str | None = None) -> Answer:
    """Return an answer that is a failure."""
    headers = () if retry_after is None else (("Retry-After", retry_after),)
    return Answer(status=status, headers=headers, body=b"no")


class ScriptedReceiver:
    """An HTTP server in the test's own event loop. Use it as a context manager."""

    def __init__(self) -> None:
        self.port = 0
        self._received: dict[str, list[Received]] = defaultdict(list)
        self._scripts: dict[str, deque[Answer]] = {}
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, ports.HOST, self.port, limit=HEAD_BYTES_MAX
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    def url(self, path: str) -> str:
        """Return the address of ``path``, which begins with a slash."""
        return f"http://{ports.HOST}:{self.port}{path}"

    def script(self, path: str, *answers: Answer) -> None:
        """Have ``path`` give these answers, in turn; the last one for ever. Unscripted: 200."""
        self._scripts[path] = deque(answers)

    def at(self, path: str) -> Sequence[Received]:
        """Return what arrived at ``path`` and was read whole, in order of arrival."""
        return self._received[path]

    def ids_at(self, path: str) -> list[str]:
        """Return the event ids that arrived at ``path``, in order, repeats included."""
        return [request.event_id for request in self.at(path)]

    def everything(self) -> list[Received]:
        """Return what arrived anywhere."""
        return [request for received in self._received.values() for request in received]

    async def arrived(
        self, path: str, count: int = 1, *, within_s: float = ARRIVES_WITHIN_S
    ) -> Sequence[Received]:
        """Wait until ``count`` requests have arrived at ``path``, and return all that have."""
        return await until_true(
            lambda: self.at(path),
            lambda received: len(received) >= count,
            what=f"{count} requests at {path}",
            within_s=within_s,
        )

    async def got(self, path: str, event_id: str) -> list[str]:
        """Wait until an event has arrived at ``path``, and return all ids that have, in order."""
        return await until_true(
            lambda: self.ids_at(path),
            lambda ids: event_id in ids,
            what=f"{event_id} at {path}",
            within_s=ARRIVES_WITHIN_S,
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until its client ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; False when the connection is of no more use."""
        head = await reader.readuntil(b"\r\n\r\n")
        path, headers = _parsed(head)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        arrived_s = time.monotonic()
        script = self._scripts.get(path)
        answer = OK if script is None else script.popleft() if len(script) > 1 else script[0]
        index = len(self._received[path])
        status = answer.status if answer.manner == "respond" else None
        request = Received(
            path=path, headers=headers, body=body, status=status, arrived_s=arrived_s
        )
        self._received[path].append(request)
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.manner == "hang":
            await asyncio.Event().wait()
        if answer.manner == "reset":
            writer.transport.abort()
            return False
        answered_s = time.monotonic()  # before the client can have it
        writer.write(answer.rendered())
        self._received[path][index] = msgspec.structs.replace(request, answered_s=answered_s)
        await writer.drain()
        return True


def _parsed(head: bytes) -> tuple[str, dict[str, str]]:
    """Return the path and the headers, names in lower case, of a request's head."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first.split(" ")[1], {name.lower(): value.strip() for name, _, value in pairs}


def _first(headers: Mapping[str, str], names: Sequence[str]) -> str:
    return next(headers[name] for name in names if name in headers)
