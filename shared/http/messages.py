"""What the HTTP sender takes and gives back, as values. Pure: msgspec and the standard library.

A request is complete when it gets here: URL parsed, headers rendered and validated, body final. An
outcome is ``Answered`` (whatever the status: a 500 is an answer) or ``Unanswered`` with the kind of
failure. Neither is an exception: a receiver's failure is data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from shared.policy.addresses import Target

FailureKind = Literal[
    "url", "dns", "blocked", "connect", "tls", "timeout", "protocol", "closed", "local"
]

RESERVED_NAMES: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that frame the message or steer the connection (RFC 9110, 7.6.1): the transport's own."""

_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2: token
_VALUE: Final = re.compile(r"(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?")  # RFC 9110, 5.5


class OutgoingRequest(msgspec.Struct, frozen=True, gc=False):
    """One POST. ``headers`` comes from ``render_headers`` and ``target`` from ``parse_url``.

    ``timeout_ms`` bounds the whole attempt: name look-up, connecting, TLS, sending, and the answer
    to its last byte. ``response_bytes_max`` is how much of the answer's body is kept.
    """

    target: Target
    headers: bytes
    body: bytes
    timeout_ms: int
    response_bytes_max: int


class Timing(msgspec.Struct, frozen=True, gc=False):
    """Where an attempt's time went, in milliseconds.

    ``dns_ms``, ``connect_ms`` and ``tls_ms`` are spans, 0 on a reused connection. ``first_byte_ms``
    (0: there was none) and ``total_ms`` count from the start of the attempt.
    """

    dns_ms: float
    connect_ms: float
    tls_ms: float
    first_byte_ms: float
    total_ms: float
    reused: bool


class Answered(msgspec.Struct, frozen=True, tag="answered", gc=False):
    """The receiver answered. ``status`` is as sent: one above 599 counts as 5xx (RFC 9110, 15).

    ``headers`` are in their order and casing, decoded as Latin-1. ``body`` holds the first
    ``response_bytes_max`` bytes, transfer coding removed and content coding (gzip) left as it is;
    ``body_truncated`` says there was more.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    body_truncated: bool
    timing: Timing
    address: str


class Unanswered(msgspec.Struct, frozen=True, tag="unanswered", gc=False):
    """There was no complete answer; ``message`` says why in words for the delivery log.

    Kinds: ``url`` refused by ``parse_url`` (callers make this one), ``dns`` no address, ``blocked``
    an address that may not be called, ``connect`` nobody listens, ``tls`` handshake or certificate,
    ``timeout`` the deadline, ``protocol`` not HTTP, ``closed`` by the receiver before the answer's
    end. ``local`` is our own fault (closing down, out of sockets): it must not count against the
    endpoint. ``address`` is the last one tried.
    """

    kind: FailureKind
    message: str
    timing: Timing
    address: str | None


Outcome = Answered | Unanswered


class Refusal(msgspec.Struct, frozen=True):
    """Why an attempt got no connection: what its outcome will say."""

    kind: FailureKind
    message: str


class HeaderRefused(ValueError):
    """A header cannot be sent; ``reason`` names it and says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def render_headers(pairs: Iterable[tuple[str, str]]) -> bytes:
    r"""Return ``name: value\r\n`` for each pair, in the casing given.

    Raises HeaderRefused for a name that is no token, for a value with anything but visible ASCII,
    inner spaces and tabs (so no CR, LF or NUL), and for the transport's own names.
    """
    lines = []
    for name, value in pairs:
        if _NAME.fullmatch(name) is None:
            raise HeaderRefused(f"header name {name[:64]!r} is not a token of RFC 9110")
        if name.lower() in RESERVED_NAMES:
            raise HeaderRefused(f"header {name!r} is set by the sender; leave it out")
        if _VALUE.fullmatch(value) is None:
            raise HeaderRefused(
                f"the value of header {name!r} may hold visible ASCII characters and spaces"
                " between them, nothing else"
            )
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("ascii")
