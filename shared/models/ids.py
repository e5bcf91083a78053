"""Prefixed identifiers that sort by time.

An id is ``<prefix>_`` followed by 32 lower-case hex digits: 48 bits of Unix milliseconds, then 80
bits that are either random (``new_id``) or a digest of what the id stands for (``derived_id``), so
that a record which is processed twice gets the same id twice. Hex because ``bytes.hex`` costs a
tenth of a base-32 encoding and one id is made for each attempt.

Pure: the time and the random bytes are arguments.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

WORKSPACE: Final = "ws"
ENDPOINT: Final = "wh"
EVENT: Final = "evt"
DELIVERY: Final = "whd"  # a row of the delivery log: one attempt
REJECTED: Final = "rej"
JOB: Final = "job"
API_KEY: Final = "key"
AUDIT: Final = "aud"

ENTROPY_BYTES: Final = 10
ID_LENGTH_MAX: Final = 128

_TIME_MS_MAX: Final = (1 << 48) - 1


def new_id(prefix: str, now_ms: int, entropy: bytes) -> str:
    """Return a fresh id; ``entropy`` is ``ENTROPY_BYTES`` random bytes."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"entropy has {len(entropy)} bytes, {ENTROPY_BYTES} are needed")
    return f"{prefix}_{clamp(now_ms):012x}{entropy.hex()}"


def derived_id(prefix: str, time_ms: int, *parts: str) -> str:
    """Return the id that belongs to ``parts``: the same parts and time give the same id."""
    digest = blake2b("\x00".join(parts).encode("utf-8", "surrogatepass"), digest_size=ENTROPY_BYTES)
    return f"{prefix}_{clamp(time_ms):012x}{digest.hexdigest()}"


def time_ms_of(identifier: str) -> int:
    """Return the Unix milliseconds inside an id made by this module."""
    return int(identifier.rpartition("_")[2][:12], 16)


def told_time_ms(prefix: str, identifier: str) -> int | None:
    """Return the Unix milliseconds in an id of ``prefix``, None where somebody else made it."""
    made = re.fullmatch(f"{prefix}_[0-9a-f]{{32}}", identifier)
    return time_ms_of(identifier) if made else None


def id_floor(prefix: str, time_ms: int) -> str:
    """Return the smallest id of ``prefix`` at ``time_ms``: the lower bound of a time range."""
    return f"{prefix}_{clamp(time_ms):012x}"


def clamp(time_ms: int) -> int:
    """Return the nearest time that an id can hold."""
    return min(max(time_ms, 0), _TIME_MS_MAX)


def is_visible_ascii(text: str) -> bool:
    """Return whether ``text`` may stand in a header: nothing in it can end the line."""
    return text.isascii() and text.isprintable() and " " not in text
