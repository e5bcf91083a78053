"""Every bound of the HTTP sender, in one place, with its reason."""

from __future__ import annotations

from typing import Final

import msgspec

HEAD_BYTES_MAX: Final = 32 * 1024
"""Of an answer's status line and headers, with those of 1xx answers. Servers stop at 8-16 KiB."""

RESPONSE_BYTES_MAX: Final = 1024 * 1024
"""Read of one answer, as sent. Beyond it the connection is closed and the status counts."""

ADDRESSES_TRIED_MAX: Final = 4
"""Of one name. All are vetted, but a name with hundreds of dead ones must not use up a slot."""

BODY_BYTES_WHOLE_MAX: Final = 64 * 1024
"""Larger bodies are written in pieces of this size, as fast as the receiver takes them."""

SWEEP_S: Final = 0.05
"""How late a deadline may be noticed. One pass over all attempts in flight (35 µs for 2,000) costs
less than a timer for each (1.0 µs on uvloop, 2.9 on asyncio, against 0.06 for a set)."""

TLS_SHUTDOWN_S: Final = 1.0
"""How long a closing TLS connection waits for the peer's close_notify."""

CLOSE_S: Final = 3.0
"""How long ``Transport.close`` waits for connections to close."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may tune. Times in milliseconds.

    ``connections_max`` bounds open and opening connections (keep it below RLIMIT_NOFILE),
    ``idle_max`` those kept for reuse (an idle TLS connection holds 64 KiB on uvloop, 300 on
    asyncio). ``idle_ttl_ms`` closes what nobody used; servers close after 5 s (Node, Apache), 60 s
    (load balancers), 75 s (nginx). ``connection_age_ms_max`` bounds how long a busy connection may
    hide that its name has moved to another address.
    """

    connections_max: int = 4_096
    idle_max: int = 2_048
    idle_ttl_ms: int = 60_000
    connection_age_ms_max: int = 120_000
    names_max: int = 10_000
    name_ttl_ms_min: int = 5_000
    name_ttl_ms_max: int = 60_000
    name_failure_ttl_ms: int = 5_000
    name_lookup_ms_max: int = 5_000
