"""What jobs read ahead: it is never of another place, never too much, never what was erased."""

from __future__ import annotations

from msgspec.structs import replace

from services.gateway.handlers import jobs
from services.gateway.handlers.ahead import BODY_BYTES, Ahead, Piece
from services.gateway.ports import BodyUnavailable, Kept
from tests.unit.services.gateway.job_world import GONE, JOB, ROWS, SHORT_PAGE, World


async def test_what_was_read_ahead_for_another_place_is_read_again() -> None:
    world, ahead = World(JOB), Ahead()
    first = await ahead.take(world.ports, JOB, 2)
    await ahead.take(world.ports, replace(JOB, before=first.next), 2)

    assert await ahead.take(world.ports, JOB, 2) == first


async def _pieces(world: World, limit: int) -> list[Piece]:
    ahead, before = Ahead(), None
    pieces: list[Piece] = []
    while not pieces or before is not None:
        pieces.append(await ahead.take(world.ports, replace(JOB, before=before), limit))
        before = pieces[-1].next
    return pieces


async def test_bodies_are_read_for_several_pieces_and_each_goes_with_its_row() -> None:
    world = World(JOB)
    pieces = await _pieces(world, 1)

    assert [piece.rows[0].attempt.offset for piece in pieces] == list(reversed(range(ROWS)))
    for piece in pieces[: ROWS - GONE]:
        ((row,), (kept,)) = piece[:2]
        assert isinstance(kept, Kept)
        assert (kept.body, kept.meta.event_id) == (b"%d" % row.attempt.offset, row.attempt.event_id)
    assert all(isinstance(piece.bodies[0], BodyUnavailable) for piece in pieces[ROWS - GONE :])
    assert sum(world.reads) == ROWS
    assert world.reads[:2] == [1, SHORT_PAGE - 1]


async def test_bodies_that_are_large_are_not_read_ahead() -> None:
    world = World(JOB)
    world.padding = bytes(BODY_BYTES // 2)
    await _pieces(world, 1)

    assert max(world.reads) <= 2


async def test_what_is_erased_after_it_was_read_ahead_is_not_sent() -> None:
    world, ahead = World(JOB), Ahead()
    job = await world.claim("gateway-1", world.clock())
    job = await jobs.step(world.ports, job, ahead) if job else None
    erased = {one.attempt.event_id for one in world.rows}
    sent = len(world.published)
    world.erased = erased
    while job is not None:
        job = await jobs.step(world.ports, job, ahead)

    assert (sent, len(world.published)) == (5, 5)
    assert world.jobs[JOB.id].unavailable == ROWS - sent
