"""``Transport`` behind httpx's interface, so that ``httpx.AsyncClient`` can send through it.

For tests, pings from a shell and tools: what they send passes the same vetting and the same code as
a webhook. Not for the delivery path, where the client layer alone costs several times the exchange.

Only POST exists here. Outcomes without an answer become httpx's exceptions, by this table:

    url                          UnsupportedProtocol
    blocked, dns, connect, tls   ConnectError
    timeout                      ConnectTimeout while there is no connection, ReadTimeout after
    protocol, closed             RemoteProtocolError
    local                        LocalProtocolError

An answer longer than ``response_bytes_max`` is a ReadError: httpx has no word for a cut body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import httpx

from shared.http.messages import (
    RESERVED_NAMES,
    Answered,
    FailureKind,
    HeaderRefused,
    OutgoingRequest,
    Unanswered,
    render_headers,
)
from shared.http.transport import Transport
from shared.policy.addresses import UrlRefused, parse_url

_TIMEOUT_MS: Final = 15_000

_ERRORS: Final[Mapping[FailureKind, type[httpx.TransportError]]] = {
    "url": httpx.UnsupportedProtocol,
    "dns": httpx.ConnectError,
    "blocked": httpx.ConnectError,
    "connect": httpx.ConnectError,
    "tls": httpx.ConnectError,
    "timeout": httpx.ReadTimeout,
    "protocol": httpx.RemoteProtocolError,
    "closed": httpx.RemoteProtocolError,
    "local": httpx.LocalProtocolError,
}


class HttpxTransport(httpx.AsyncBaseTransport):
    """Sends POSTs through ``transport``, which stays its owner's to close.

    httpx's read timeout bounds the whole exchange (15 s where it is None); the other timeouts are
    not used. ``response_bytes_max`` bounds the body.
    """

    def __init__(self, transport: Transport, *, response_bytes_max: int = 1024 * 1024) -> None:
        self._transport = transport
        self._response_bytes_max = response_bytes_max

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer; raises httpx.TransportError where there is none."""
        outcome = await self._transport.send(await self._outgoing(request))
        if isinstance(outcome, Unanswered):
            raise _error(outcome)
        if outcome.body_truncated:
            raise httpx.ReadError(f"the body is longer than {self._response_bytes_max:,} bytes")
        return _response(outcome)

    async def _outgoing(self, request: httpx.Request) -> OutgoingRequest:
        if request.method != "POST":
            raise httpx.UnsupportedProtocol(f"only POST is sent here, not {request.method}")
        try:
            target = parse_url(str(request.url), self._transport.policy)
            headers = render_headers(
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in request.headers.raw
                if name.lower().decode("latin-1") not in RESERVED_NAMES
            )
        except UrlRefused as refused:
            raise httpx.UnsupportedProtocol(refused.reason) from None
        except HeaderRefused as refused:
            raise httpx.LocalProtocolError(refused.reason) from None
        return OutgoingRequest(
            target=target,
            headers=headers,
            body=await request.aread(),
            timeout_ms=_timeout_ms(request),
            response_bytes_max=self._response_bytes_max,
        )


def _timeout_ms(request: httpx.Request) -> int:
    read_s: float | None = request.extensions.get("timeout", {}).get("read")
    return _TIMEOUT_MS if read_s is None else int(read_s * 1_000)


def _response(answer: Answered) -> httpx.Response:
    return httpx.Response(
        answer.status,
        headers=[
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers
        ],
        stream=httpx.ByteStream(answer.body),
        extensions={"http_version": b"HTTP/1.1"},
    )


def _error(outcome: Unanswered) -> httpx.TransportError:
    connected = outcome.timing.reused or outcome.timing.connect_ms > 0
    if outcome.kind == "timeout" and not connected:
        return httpx.ConnectTimeout(outcome.message)
    return _ERRORS[outcome.kind](outcome.message)
