"""An ``Idempotency-Key`` in use: who holds it, for which request, and what the answer was.

A claim is taken before the work and keeps the answer after it. ``judge`` says what a request does
that meets a standing claim. The key itself is nowhere: a claim's id is a digest of it, and its
``fingerprint`` of the request is keyed with it, so that neither tells what was sent.
"""

from __future__ import annotations

from hashlib import blake2b, sha256
from typing import Final, Literal

import msgspec

KEPT_MS: Final = 24 * 3_600_000
HELD_MS: Final = 30_000
"""Longer than any call takes. Whoever holds a claim for longer without an answer has died."""

_DIGEST_BYTES: Final = 20

Verdict = Literal["expired", "differs", "answered", "held", "abandoned"]


class Answer(msgspec.Struct, frozen=True):
    """What a call answered. ``body`` is sealed: it may hold a secret."""

    status: int
    body: str
    headers: tuple[tuple[str, str], ...] = ()


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A key in use. ``time_ms`` is when it was first claimed, ``holder`` the process's token.

    ``takeovers`` counts the holders that gave up or died before this one.
    """

    id: str
    workspace_id: str
    fingerprint: str
    holder: str
    time_ms: int
    held_until_ms: int
    expires_ms: int
    takeovers: int = 0
    answer: Answer | None = None


def claim_of(
    *, workspace_id: str, call: str, key: str, request: bytes, holder: str, now_ms: int
) -> Claim:
    """Return a fresh claim of ``key`` for one ``call`` of the API with this ``request``."""
    parts = "\x00".join((workspace_id, call, key)).encode()
    hidden = sha256(b"fingerprint\x00" + parts).digest()
    return Claim(
        id=blake2b(parts, digest_size=_DIGEST_BYTES).hexdigest(),
        workspace_id=workspace_id,
        fingerprint=blake2b(request, key=hidden, digest_size=_DIGEST_BYTES).hexdigest(),
        holder=holder,
        time_ms=now_ms,
        held_until_ms=now_ms + HELD_MS,
        expires_ms=now_ms + KEPT_MS,
    )


def judge(standing: Claim, wanted: Claim, now_ms: int) -> Verdict:
    """Return what ``standing`` means for a request that wants the same key."""
    if now_ms >= standing.expires_ms:
        return "expired"
    if standing.fingerprint != wanted.fingerprint:
        return "differs"
    if standing.answer is not None:
        return "answered"
    return "held" if now_ms < standing.held_until_ms else "abandoned"


def successor(standing: Claim, wanted: Claim) -> Claim:
    """Return the claim that takes over an abandoned one: the same work, in the same name."""
    return msgspec.structs.replace(
        standing,
        holder=wanted.holder,
        held_until_ms=wanted.held_until_ms,
        takeovers=standing.takeovers + 1,
    )
