"""The light histogram says what Prometheus' own says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from shared.observe.tally import TallyHistogram

BOUNDS = (0.005, 0.1, 1.0, 20.0)


@given(st.lists(st.sampled_from((0.0, 0.005, 0.05, 0.1, 0.5, 1.0, 20.0, 99.0))))
def test_it_reads_like_the_library_s_histogram(values: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = TallyHistogram("seconds", "Duration", buckets=BOUNDS, registry=ours)
    histogram = Histogram("seconds", "Duration", buckets=BOUNDS, registry=theirs)
    for value in values:
        tally.observe(value)
        histogram.observe(value)
    assert _samples(ours) == _samples(theirs)


def _samples(registry: CollectorRegistry) -> list[bytes]:
    lines = generate_latest(registry).splitlines()
    return [line for line in lines if not line.startswith(b"#") and b"_created" not in line]
