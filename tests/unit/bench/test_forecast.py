"""The arithmetic of a forecast, and the page that quotes it."""

from __future__ import annotations

import math
import re
import shlex
from typing import Final

import pytest
from msgspec import structs

from bench.forecast import Coefficients, Cost, Forecast, Load, solve
from bench.sizing import PROCESSES, TOPICS, Taken, answer, coefficients, parser
from tests.architecture.repository import ROOT

PAGE: Final = (ROOT / "docs/sizing.md").read_text(encoding="utf-8")
_QUOTED: Final = re.compile(r"```text\n\$ python -m bench\.sizing(.*)\n([^`]*)```")

FLAT: Final = Cost(base=10.0, base_kb=0.0, event=0.0, event_kb=0.0)
MEASURED: Final = Coefficients(
    cpu_us=dict.fromkeys(("kafka", "mongo", "fanout", "delivery", "recorder"), FLAT),
    topic_bytes={
        name: structs.replace(FLAT, base=100.0)
        for name in ("events", "deliveries", "attempts", "__consumer_offsets")
    },
    log_bytes=Cost(base=50.0, base_kb=0.0, event=0.0, event_kb=0.0, document=200.0),
    registry_bytes={"fanout": 1_000.0, "delivery": 500.0},
    idle_bytes={"fanout": 50e6, "delivery": 50e6},
    measured={},
)
LOAD: Final = Load(
    endpoints=100_000, events_per_second=6_000.0, fan_out=10.0, failing=0.0, busy=0.5
)


def of(**changed: object) -> Forecast:
    return Forecast(structs.replace(LOAD, **changed), MEASURED)


def test_a_cost_is_as_it_was_measured_at_the_four_shapes() -> None:
    points = {(300, 1): 40.0, (300, 10): 22.0, (2_048, 1): 61.0, (2_048, 10): 30.0}
    cost = solve(points)

    assert {(s, f): cost.at(s, f) for s, f in points} == pytest.approx(points)
    assert 22.0 < cost.at(300, 3) < 40.0
    assert 40.0 < cost.at(1_000, 1) < 61.0


def test_what_endpoints_of_their_own_take_is_apart() -> None:
    def taken(each: float, documents: float) -> Taken:
        bytes_ = dict.fromkeys(TOPICS, each)
        return Taken(dict.fromkeys(PROCESSES, each), bytes_, each, documents)

    shapes = {(size, count): taken(20.0, 0.0) for size in (300, 2_048) for count in (1, 10)}
    memory = {"fanout": (50_000_000, 150_000_000)}
    found = coefficients(shapes, taken(50.0, 0.5), memory)

    assert found.log_bytes.at(300, 1) == pytest.approx(20.0)
    assert found.cpu_us["mongo"].at(300, 1, 0.5) == pytest.approx(50.0)
    assert found.topic_bytes["attempts"].at(1_000, 5, 1.0) == pytest.approx(80.0)
    assert found.registry_bytes == {"fanout": 1_000.0}


def test_documents_are_one_for_each_endpoint_and_second_at_the_most() -> None:
    assert of(endpoints=100).given.documents == 100 / 60_000
    assert of(endpoints=10**9).given.documents == 1.0
    assert of(endpoints=30_000).log_bytes_per_second() == pytest.approx(60_000 * (50 + 200 / 2))


def test_processes_come_from_cpu_and_from_what_is_in_flight() -> None:
    assert of().processes("fanout") == 2  # 60,000 * 10 µs, of half a core each
    assert of(latency_ms=10.0).processes("delivery") == 2
    assert of(latency_ms=100.0).processes("delivery") == 3  # 6,000 in flight
    assert of().partitions() == 12
    assert of(latency_ms=500.0).partitions() == 36  # twice 15, and a multiple of 12


def test_brokers_come_from_copies_traffic_and_cpu() -> None:
    assert of().brokers() == 3  # of which two have something to do
    assert of(broker_cores=1, busy=0.1).brokers() == 6  # 60,000 * 10 µs, of a tenth of a core
    assert of(broker_mb_per_s=20.0).brokers() == math.ceil(of().broker_mb() / 20)
    assert of().broker_mb() == pytest.approx(3 * 60_000 * (250 + 100 + 100 + 100) / 1e6)


def test_what_fails_is_written_twice_more() -> None:
    written = of(failing=0.2).written()

    assert written["deliveries"] == pytest.approx(75_000 * 250)  # 100 B, and half of 300
    assert written["retry.*"] == pytest.approx(15_000 * 250)
    assert written["events"] == pytest.approx(60_000 * 100)


def test_the_limits_are_in_the_order_in_which_they_are_reached() -> None:
    limits = of(mongo_cores=1, log_retention_days=10.0).limits()

    assert [one.what for one in limits[:2]] == ["MongoDB's primary", "MongoDB's disk"]
    assert limits[0].events_per_second == pytest.approx(5_000)  # 50,000 deliveries of 10 µs
    assert limits[1].events_per_second == pytest.approx(16e12 / 864_000 / 250 / 10)
    assert [one.events_per_second for one in limits] == sorted(
        one.events_per_second for one in limits
    )
    memory = {one.what: one.events_per_second for one in limits}
    assert memory["memory of fanout"] == pytest.approx(6_000 * 9.5)  # 950 MB for 1,000 B each


@pytest.mark.parametrize(("arguments", "quoted"), _QUOTED.findall(PAGE))
def test_the_page_quotes_the_program(arguments: str, quoted: str) -> None:
    assert "\n".join(answer(parser().parse_args(shlex.split(arguments)))) + "\n" == quoted


def test_the_page_quotes_the_costs_and_several_forecasts() -> None:
    commands = [arguments.split()[0] for arguments, _ in _QUOTED.findall(PAGE)]

    assert commands.count("costs") == 1
    assert commands.count("--endpoints") >= 2
