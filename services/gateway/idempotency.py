"""Performing a call once for each ``Idempotency-Key``, however often it is asked for.

Within a day the same key with the same request gets the same answer again, another request under it
is refused. What is promised when something dies:

* The key answers only what was acknowledged: the answer is kept after the work, never before.
* A gateway that dies mid-way holds the key for half a minute (``HELD_MS``), then the next request
  with it goes on in the first one's name (``Origin``): the same event id, the same time.
* A call that was refused has done nothing, so its key is free again.

MongoDB arbitrates between gateways. Inside one gateway, requests for a key that is under way wait
for its task: it belongs to none of them, so a caller that hangs up cancels nothing. While MongoDB
is away, calls that can do without it (``alone``) go on: their ids still come from the key.
``docs/decisions/0013-idempotency-keys.md`` says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple, TypeVar

import structlog

from services.gateway.absence import Absence
from services.gateway.ports import Claims
from shared.models import ids
from shared.models.claims import Answer, Claim, judge, successor
from shared.models.errors import Conflict, Misuse, Outage, Poison
from shared.signing.keyring import NONCE_BYTES, Keyring

KEY_HEADER: Final = "Idempotency-Key"
KEY_LENGTH_MAX: Final = 255
HOLDER_BYTES: Final = 12
WAIT_S: Final = 5.0
LOOK_EVERY_S: Final = 0.05
_DAY_MS: Final = 86_400_000

_log = structlog.get_logger("gateway")

T = TypeVar("T")


class Origin(NamedTuple):
    """In whose name a call creates things.

    ``time_ms`` is its time, ``claim`` its key's claim; ``event_id`` gives the id of the event at an
    index of the call, where that has none itself.
    """

    time_ms: int
    event_id: Callable[[int], str]
    claim: Claim | None = None


def keyed_event_id(claim: Claim, index: int) -> str:
    """Return the id of the event at ``index`` of a call with a key.

    It comes from the workspace, the call, the key, the request and the day, not from the moment: so
    a repeat makes the same event even where the claim could not be asked, and the same key on
    another day, after the claim has gone, makes another.
    """
    day_ms = claim.time_ms // _DAY_MS * _DAY_MS
    return ids.derived_id(ids.EVENT, day_ms, claim.id, claim.fingerprint, str(index))


class Reply(NamedTuple):
    """An answer in clear; ``replayed`` says that the call had been performed before."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    replayed: bool = False


Perform = Callable[[Origin], Awaitable[Reply]]


class StoreAwayError(Exception):
    """MongoDB does not answer."""

    def __init__(self, outage: Outage) -> None:
        super().__init__(str(outage))
        self.outage = outage


class Once:
    """Performs calls once for each key. One for each gateway."""

    def __init__(
        self,
        claims: Claims,
        *,
        keyring: Keyring,
        now_ms: Callable[[], int],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._claims = claims
        self._keyring = keyring
        self._now_ms = now_ms
        self._entropy = entropy
        self._under_way: dict[str, tuple[str, asyncio.Task[Reply]]] = {}
        self._absence = Absence(now_ms)

    def origin(self, claim: Claim | None = None) -> Origin:
        """Return the origin of a call; without a key it is a new one each time."""
        if claim is not None:
            return Origin(claim.time_ms, partial(keyed_event_id, claim), claim)
        now_ms = self._now_ms()
        return Origin(now_ms, lambda _: self._new_event_id(now_ms))

    def _new_event_id(self, now_ms: int) -> str:
        return ids.new_id(ids.EVENT, now_ms, self._entropy(ids.ENTROPY_BYTES))

    async def call(self, wanted: Claim, perform: Perform, *, alone: bool) -> Reply:
        """Return what ``perform`` replies, or has replied to the same request under this key.

        Raises Conflict when the key belongs to another request, Outage when the claim cannot be
        asked and ``perform`` cannot work ``alone``, or when the first request still is under way;
        and what ``perform`` raises.
        """
        known = self._under_way.get(wanted.id)
        if known is not None:
            fingerprint, task = known
            if fingerprint != wanted.fingerprint:
                raise _differs()
            return (await asyncio.shield(task))._replace(replayed=True)
        task = asyncio.create_task(self._performed(wanted, perform, alone=alone))
        self._under_way[wanted.id] = (wanted.fingerprint, task)
        task.add_done_callback(lambda _: self._landed(wanted.id))
        return await asyncio.shield(task)

    def _landed(self, claim_id: str) -> None:
        _, task = self._under_way.pop(claim_id)
        if not task.cancelled():
            task.exception()  # its callers may all be gone

    async def _performed(self, wanted: Claim, perform: Perform, *, alone: bool) -> Reply:
        try:
            claim = await self._claimed(wanted)
        except StoreAwayError as away:
            if not alone:
                raise away.outage from None
            return await perform(self.origin(wanted))
        if claim.answer is not None:
            return self._opened(claim, claim.answer)
        try:
            reply = await perform(self.origin(claim))
        except (Misuse, Poison):
            await self._noted(lambda: self._claims.release(claim))
            raise
        except Exception:
            await self._noted(lambda: self._claims.abandon(claim))
            raise
        await self._noted(lambda: self._claims.settle(claim, self._sealed(claim, reply)))
        return reply

    async def _claimed(self, wanted: Claim) -> Claim:
        """Return our claim, or one that has the answer.

        Raises Conflict, Outage while another gateway is at it, StoreAwayError.
        """
        deadline = asyncio.get_running_loop().time() + WAIT_S
        while not await self._asked(lambda: self._claims.add(wanted)):
            standing = await self._asked(lambda: self._claims.get(wanted.id))
            if standing is None:
                continue  # released meanwhile
            verdict = judge(standing, wanted, self._now_ms())
            if verdict == "answered":
                return standing
            if verdict == "differs":
                raise _differs()
            if verdict != "held":
                ours = wanted if verdict == "expired" else successor(standing, wanted)
                if await self._asked(partial(self._claims.replace, standing, ours)):
                    return ours
            elif asyncio.get_running_loop().time() > deadline:
                raise Outage(f"the first request with this {KEY_HEADER} is still under way")
            await asyncio.sleep(LOOK_EVERY_S)
        return wanted

    async def _asked(self, question: Callable[[], Awaitable[T]]) -> T:
        """Return what the store says; raises StoreAwayError, at once if it was away just now."""
        if self._absence:
            raise StoreAwayError(Outage("MongoDB does not answer"))
        try:
            return await question()
        except Outage as outage:
            self._absence.note()
            raise StoreAwayError(outage) from outage

    async def _noted(self, note: Callable[[], Awaitable[None]]) -> None:
        """Tell the store how the call went; a claim that it does not hear of lapses."""
        try:
            await self._asked(note)
        except StoreAwayError as away:
            _log.warning("claim_lapses", reason=str(away))

    def _sealed(self, claim: Claim, reply: Reply) -> Answer:
        nonce = self._entropy(NONCE_BYTES)
        body = self._keyring.seal(reply.body.decode(), claim.id, nonce)
        return Answer(reply.status, body, reply.headers)

    def _opened(self, claim: Claim, answer: Answer) -> Reply:
        body = self._keyring.open(answer.body, claim.id).encode()
        return Reply(answer.status, body, answer.headers, replayed=True)


def _differs() -> Conflict:
    return Conflict(
        f"this {KEY_HEADER} was used for another request within 24 hours; use a new one for each",
        field=KEY_HEADER,
    )
