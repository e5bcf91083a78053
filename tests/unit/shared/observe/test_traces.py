"""What is traced and under which ids: W3C's traceparent in, spans that hang together out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.observe.traces import (
    OFF,
    Context,
    Span,
    Tracer,
    is_traceparent,
    trace_id_of,
)

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"


def tracer(ratio: float = 0.0, sink: list[Span] | None = None) -> Tracer:
    spans: list[Span] = [] if sink is None else sink
    return Tracer(ratio=ratio, sink=spans.append, now_ms=lambda: 0)


def test_an_event_goes_on_in_the_trace_of_its_producer() -> None:
    entry = tracer().entry(SAMPLED, "ws_1", "evt_1")

    assert entry == Context(TRACE, SPAN)
    assert str(entry) == SAMPLED
    assert trace_id_of(str(entry)) == TRACE


def test_a_trace_that_its_producer_does_not_sample_is_not_begun_anew() -> None:
    assert tracer(ratio=1.0).entry(NOT_SAMPLED, "ws_1", "evt_1") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        SAMPLED.upper(),
        SAMPLED + "-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-1",
        SAMPLED + "\n",
    ],
)
def test_what_is_no_traceparent_counts_as_none(text: str) -> None:
    assert not is_traceparent(text)
    assert tracer().entry(text, "ws_1", "evt_1") is None
    begun = tracer(ratio=1.0).entry(text, "ws_1", "evt_1")
    assert begun is not None
    assert begun.trace_id != TRACE


def test_later_versions_of_the_header_may_say_more_and_set_more_flags() -> None:
    assert tracer().entry(f"01-{TRACE}-{SPAN}-03-more", "ws_1", "e") == Context(TRACE, SPAN)


def test_gateway_and_fan_out_begin_the_same_trace_of_an_event() -> None:
    first, second = (tracer(ratio=1.0).entry("", "ws_1", "evt_1") for _ in range(2))

    assert first == second
    assert first is not None
    assert first.span_id == ""
    assert first != tracer(ratio=1.0).entry("", "ws_2", "evt_1")


def test_the_share_of_traces_that_begin_here_is_the_ratio() -> None:
    half = tracer(ratio=0.5)
    begun = sum(half.entry("", "ws_1", f"evt_{number}") is not None for number in range(2_000))

    assert 900 < begun < 1_100  # ids are derived, so this is the same number each time


def test_a_span_has_the_same_id_whenever_it_is_made_and_another_for_another_thing() -> None:
    parent = Context(TRACE, SPAN)
    spans = {parent.child("attempt", "wh_1", str(number)) for number in (1, 1, 2)}

    assert len(spans) == 2
    assert {span.trace_id for span in spans} == {TRACE}
    assert parent not in spans


@given(st.text(max_size=80))
def test_nothing_that_a_producer_writes_raises(text: str) -> None:
    tracer(ratio=1.0).entry(text, "ws_1", "evt_1")
    tracer().within(text)


def test_a_record_of_ours_names_its_place() -> None:
    assert tracer().within(SAMPLED) == Context(TRACE, SPAN)
    assert tracer().within("") is None
    assert tracer().within(None) is None


def test_where_traces_are_off_nothing_is_traced() -> None:
    assert OFF.entry(SAMPLED, "ws_1", "evt_1") is None
    assert OFF.within(SAMPLED) is None
    OFF.record(Span("POST", "client", Context(TRACE, SPAN), Context(TRACE, ""), 0, 1))
