"""What people want of a job and what its holder has done, in whichever order they come."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.models.jobs import OPEN, WORKED_AT, Job, JobState, Resend, Wish, stored, wished

STATES: tuple[JobState, ...] = get_args(JobState)
WISHES: tuple[Wish, ...] = get_args(Wish)
BASE = Job(
    id="job_1",
    workspace_id="ws_1",
    endpoint_id="wh_1",
    status="failed",
    since_ms=0,
    until_ms=1,
    matched=9,
    created_ms=1,
    holder="me",
)
AS_WORKED: tuple[JobState, ...] = ("running", "stopped", "cancelled", "done")
"""The states in which a step may leave a job."""


@pytest.mark.parametrize(
    ("state", "wish", "expected"),
    [
        ("running", "pause", "paused"),
        ("paused", "resume", "running"),
        ("stopped", "resume", "running"),
        ("running", "cancel", "cancelling"),
        ("paused", "cancel", "cancelling"),
        ("stopped", "cancel", "cancelling"),
    ],
)
def test_a_wish_moves_a_job(state: JobState, wish: Wish, expected: JobState) -> None:
    changed = wished(replace(BASE, state=state, reason="webhook_paused"), wish)

    assert changed is not None
    assert (changed.state, changed.reason) == (expected, None)


@given(state=st.sampled_from(STATES), wish=st.sampled_from(WISHES))
def test_wishing_twice_is_wishing_once(state: JobState, wish: Wish) -> None:
    once = wished(replace(BASE, state=state), wish)

    assert once is None or wished(once, wish) == once


@given(wishes=st.lists(st.sampled_from(WISHES)))
def test_what_is_done_is_done_and_what_is_cancelled_stays_so(wishes: list[Wish]) -> None:
    for end in ("done", "cancelled"):
        job = replace(BASE, state=end)
        for wish in wishes:
            job = wished(job, wish) or job
        assert job.state == end

    cancelled = replace(BASE, state="cancelling")
    for wish in wishes:
        cancelled = wished(cancelled, wish) or cancelled
    assert cancelled.state == "cancelling"


@given(standing=st.sampled_from(OPEN), worked=st.sampled_from(AS_WORKED))
def test_a_step_keeps_its_place_and_people_their_wish(standing: JobState, worked: JobState) -> None:
    before = replace(BASE, state=standing, held_until_ms=5)
    after = replace(BASE, state=worked, before="whd_1", sent=3, held_until_ms=9)
    found = stored(before, after)

    assert found is not None
    assert (found.before, found.sent) == ("whd_1", 3)
    over = worked in ("done", "cancelled")
    assert found.state == (worked if over or standing == "running" else standing)
    assert found.held_until_ms == (9 if found.state in WORKED_AT else 0)


@given(standing=st.sampled_from(STATES), worked=st.sampled_from(AS_WORKED))
def test_who_was_overtaken_changes_nothing(standing: JobState, worked: JobState) -> None:
    before = replace(BASE, state=standing, holder="another")

    assert stored(before, replace(BASE, state=worked, sent=3)) is None


def test_what_is_sent_again_several_times_are_several_deliveries() -> None:
    first = Resend(
        delivery_id="whd_1",
        endpoint_id="wh_1",
        workspace_id="ws_1",
        event_id="evt_1",
        job_id="job_1",
        due_ms=1,
    )
    second = replace(first, mark="job_2")

    assert (first.trigger, second.trigger) == ("resend:whd_1", "resend:whd_1:job_2")
    assert first.first_row_id() != second.first_row_id()
