"""What people are told, that it is told once, and that nothing told makes more to tell."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recorder.announcing import of_exhausted, of_finding, of_rejected
from shared.models.attempts import Attempt
from shared.models.operational import OPERATIONAL, Announcement, encode_announcement
from shared.models.rejected import Place, Rejected
from shared.policy.health import HEALTHY, Finding, Health, Rule, judge
from tests.unit.services.recorder.kit import NOON_MS, attempt

RUN = Health(5, NOON_MS - 60_000, 1, told=50)
NOON, BEFORE_NOON = "2026-09-21T14:13:20.000Z", "2026-09-21T14:12:20.000Z"
FAILED = attempt("failed", status_code=500, reason="exhausted", attempt=3)
LAST = {
    "delivery_id": FAILED.delivery_id(),
    "event_id": "evt_1",
    "event_type": "qr.scanned",
    "status_code": 500,
    "error": None,
}


def event_of(announcement: Announcement | None) -> Any:
    assert announcement is not None
    return msgspec.json.decode(encode_announcement(announcement))


def copy_of(**given: Any) -> Rejected:
    fields: dict[str, Any] = {
        "id": "rej_1",
        "workspace_id": "ws_1",
        "received_ms": NOON_MS,
        "reason": "data must be a JSON object",
        "field": "data",
        "place": Place("events", 0, 7),
        "headers": (),
        "value": b"{}",
        "size": 2,
        "event_type": "qr.scanned",
    }
    return Rejected(**fields | given)


@pytest.mark.parametrize(
    ("finding", "event_type", "extra"),
    [
        (
            Finding("failing", RUN, percent=50),
            "endpoint.failing",
            {"threshold_percent": 50, "last_attempt": LAST},
        ),
        (
            Finding("disabled", RUN, reason="gone"),
            "endpoint.disabled",
            {"reason": "gone", "last_attempt": LAST},
        ),
        (Finding("recovered", RUN), "endpoint.recovered", {}),
    ],
)
def test_what_is_told_of_an_endpoint(
    finding: Finding, event_type: str, extra: dict[str, Any]
) -> None:
    event = event_of(of_finding(finding, FAILED))

    assert event.pop("id").startswith("evt_")
    assert event == {
        "type": event_type,
        "workspace_id": "ws_1",
        "created": NOON,
        "data": {
            "webhook_id": "wh_1",
            "consecutive_failures": 5,
            "failing_since": BEFORE_NOON,
            **extra,
        },
    }


def test_what_is_told_of_a_delivery_that_has_failed_for_good() -> None:
    event = event_of(of_exhausted(FAILED))

    assert event["type"] == "delivery.exhausted"
    assert event["data"] == {"webhook_id": "wh_1", "attempts": 3, "last_attempt": LAST}


@pytest.mark.parametrize(
    "other",
    [
        attempt("success"),
        attempt("failed"),
        attempt("failed", reason="gone"),
        attempt("discarded", reason="endpoint_disabled"),
        attempt("failed", reason="exhausted", trigger="ping"),
        *(attempt("failed", reason="exhausted", event_type=name) for name in OPERATIONAL),
    ],
)
def test_no_other_attempt_is_a_delivery_that_has_failed_for_good(other: Attempt) -> None:
    assert of_exhausted(other) is None


def test_what_is_told_of_a_rejected_event() -> None:
    event = event_of(of_rejected(copy_of()))

    assert event["type"] == "events.rejected"
    assert event["data"] == {
        "rejected_id": "rej_1",
        "event_type": "qr.scanned",
        "field": "data",
        "reason": "data must be a JSON object",
        "received_at": NOON,
    }


def test_an_announcement_that_is_rejected_is_not_announced() -> None:
    """Its workspace was deleted meanwhile, say."""
    assert of_rejected(copy_of(headers=(("hooklane-operational", b"1"),))) is None


def test_the_same_cause_is_the_same_event_and_another_one_is_not() -> None:
    again = [of_exhausted(one) for one in (FAILED, attempt("failed", reason="exhausted"))]
    told = [of_exhausted(FAILED), *again, of_finding(Finding("recovered", RUN), FAILED)]

    counts = Counter(event_of(one)["id"] for one in told)
    assert sorted(counts.values()) == [1, 1, 2]


def test_a_time_that_no_calendar_has_is_told_all_the_same() -> None:
    """A record of ``attempts`` may be wrong about it, and the recorder must go on."""
    far = attempt("failed", reason="exhausted", at_ms=(1 << 48) - 1)

    assert event_of(of_exhausted(far))["created"] == "9999-12-31T23:59:59.999Z"


# --- nothing told makes more to tell ------------------------------------------------------------


class World:
    """Endpoints that all get everything, and answer as a script says, over and over."""

    def __init__(self, scripts: dict[str, list[bool]], attempts_max: int) -> None:
        self.scripts = scripts
        self.attempts_max = attempts_max
        self.turns = Counter[str]()
        self.healths = dict.fromkeys(scripts, HEALTHY)
        self.disabled: set[str] = set()
        self.told: list[str] = []
        self.events: deque[tuple[str, str]] = deque()
        self.failures = 0  # of the product's events

    def run(self, events: int) -> None:
        self.events.extend((f"evt_{number}", "qr.scanned") for number in range(events))
        for _ in range(500):
            if not self.events:
                return
            event_id, event_type = self.events.popleft()
            for name in self.scripts.keys() - self.disabled:
                self.deliver(name, event_id, event_type)
        raise AssertionError("it goes on and on")

    def deliver(self, name: str, event_id: str, event_type: str) -> None:
        for number in range(1, self.attempts_max + 1):
            if name in self.disabled:
                return
            answers = self.scripts[name]
            success = answers[self.turns[name] % len(answers)]
            self.turns[name] += 1
            last = number == self.attempts_max
            one = attempt(
                "success" if success else "failed",
                endpoint_id=name,
                event_id=event_id,
                event_type=event_type,
                attempt=number,
                reason="exhausted" if last and not success else None,
                at_ms=NOON_MS + sum(self.turns.values()),
            )
            self.failures += not success and event_type == "qr.scanned"
            self.judge(one)
            if success:
                return

    def judge(self, one: Attempt) -> None:
        health, finding = judge(self.healths[one.endpoint_id], one, Rule(failures_max=10))
        self.healths[one.endpoint_id] = health
        told = [of_exhausted(one), None if finding is None else of_finding(finding, one)]
        if finding is not None and finding.kind == "disabled":
            self.disabled.add(one.endpoint_id)
        for announcement in told:
            if announcement is not None:
                self.told.append(announcement.type)
                self.events.append((announcement.id, announcement.type))


@given(
    scripts=st.dictionaries(
        st.sampled_from(["wh_1", "wh_2", "wh_3"]),
        st.lists(st.sampled_from([False, False, False, True]), min_size=1, max_size=12),
        min_size=1,
    ),
    attempts_max=st.integers(1, 12),
    events=st.integers(1, 5),
)
def test_what_is_told_is_bounded_by_what_happened_to_the_products_events(
    scripts: dict[str, list[bool]], attempts_max: int, events: int
) -> None:
    world = World(scripts, attempts_max)
    world.run(events)

    told = Counter(world.told)
    assert told["endpoint.failing"] <= world.failures
    assert told["delivery.exhausted"] <= events * len(scripts)
    assert told["endpoint.disabled"] <= len(scripts)
    assert told["endpoint.recovered"] <= told["endpoint.failing"] + told["endpoint.disabled"]


def test_an_endpoint_that_fails_nine_times_for_each_event_is_not_told_so_for_ever() -> None:
    """Each warning about it would be delivered to it and make the next one."""
    world = World({"wh_1": [False] * 9 + [True]}, attempts_max=10)
    world.run(events=1)

    assert Counter(world.told) == {"endpoint.failing": 3, "endpoint.recovered": 1}
