"""The light histogram says what Prometheus' own says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from shared.observe.tally import TallyHistogram

BOUNDS = (0.005, 0.1, 1.0, 20.0)


@given(st.lists(st.sampled_from((0.0, 0.005, 0.05, 0.1, 0.5, 1.0, 20.0, 99.0))))
def test_it_reads_like_the_library_s_histogram(values: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = TallyHistogram("seconds", "Duration", buckets=BOUNDS, registry=ours).labels()
    histogram = Histogram("seconds", "Duration", buckets=BOUNDS, registry=theirs)
    tally.observe(values[:3])
    tally.observe(values[3:])
    for value in values:
        histogram.observe(value)
    assert _samples(ours) == _samples(theirs)


def test_its_series_are_told_apart_by_their_labels() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = TallyHistogram(
        "seconds", "Duration", buckets=BOUNDS, labelnames=("attempts", "kind"), registry=ours
    )
    histogram = Histogram(
        "seconds", "Duration", buckets=BOUNDS, labelnames=("attempts", "kind"), registry=theirs
    )
    for labels, value in ((("first", "a"), 0.05), (("later", "a"), 2.0), (("first", "a"), 99.0)):
        tally.labels(*labels).observe([value])
        histogram.labels(*labels).observe(value)
    assert _samples(ours) == _samples(theirs)


def test_a_series_needs_all_labels() -> None:
    tally = TallyHistogram(
        "seconds", "Duration", buckets=BOUNDS, labelnames=("a",), registry=CollectorRegistry()
    )
    with pytest.raises(ValueError, match="labels"):
        tally.labels()


def _samples(registry: CollectorRegistry) -> list[bytes]:
    lines = generate_latest(registry).splitlines()
    return [line for line in lines if not line.startswith(b"#") and b"_created" not in line]
