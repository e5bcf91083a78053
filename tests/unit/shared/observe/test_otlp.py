"""The exporter: batches, what does not fit, what the collector does not take, the end."""

from __future__ import annotations

import threading

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from prometheus_client import REGISTRY

from shared.observe import otlp
from shared.observe.otlp import Exporter
from shared.observe.traces import Context, Span

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = Context(TRACE, "b7ad6b7169203331")


class Collector:
    """Takes batches while ``takes`` says so, and waits at each while it is not ``open``."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes
        self.spans: list[ReadableSpan] = []
        self.batches: list[int] = []
        self.closed = False
        self.open = threading.Event()
        self.open.set()
        self.called = threading.Event()

    def export(self, spans: list[ReadableSpan]) -> SpanExportResult:
        self.called.set()
        assert self.open.wait(20)
        self.batches.append(len(spans))
        self.spans += spans
        return SpanExportResult.SUCCESS if self.takes else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.closed = True


def span(number: int = 0, error: str | None = None) -> Span:
    own = PARENT.child(str(number))
    return Span("POST", "client", own, PARENT, 1_000, 1_250, (("hooklane.attempt", 2),), error)


def counted(result: str) -> float:
    return REGISTRY.get_sample_value("hooklane_traces_spans_total", {"result": result}) or 0.0


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "EVERY_S", 0.001)


def test_what_was_offered_before_the_end_is_sent_in_batches() -> None:
    collector, before = Collector(), counted("exported")
    exporter = Exporter(collector, "delivery")
    for number in range(otlp.BATCH_MAX + 1):
        exporter.offer(span(number))
    exporter.start()
    exporter.close()

    assert collector.batches == [otlp.BATCH_MAX, 1]
    assert counted("exported") == before + otlp.BATCH_MAX + 1
    assert collector.closed


def test_a_span_is_what_it_was_in_the_collector_s_terms() -> None:
    collector = Collector()
    exporter = Exporter(collector, "delivery")
    exporter.offer(span(error="timeout"))
    exporter.start()
    exporter.close()

    (resource,) = encode_spans(collector.spans).resource_spans
    (sent,) = resource.scope_spans[0].spans
    assert resource.resource.attributes[0].value.string_value == "hooklane-delivery"
    assert (sent.trace_id.hex(), sent.parent_span_id.hex()) == (TRACE, PARENT.span_id)
    assert sent.span_id.hex() == span().context.span_id
    assert (sent.name, sent.kind) == ("POST", sent.SPAN_KIND_CLIENT)
    assert (sent.start_time_unix_nano, sent.end_time_unix_nano) == (10**9, 1_250 * 10**6)
    assert sent.attributes[0].value.int_value == 2
    assert (sent.status.code, sent.status.message) == (sent.status.STATUS_CODE_ERROR, "timeout")


def test_what_does_not_fit_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "QUEUE_MAX", 3)
    collector, before = Collector(), counted("dropped")
    exporter = Exporter(collector, "delivery")
    for number in range(5):
        exporter.offer(span(number))
    exporter.start()
    exporter.close()

    assert len(collector.spans) == 3
    assert counted("dropped") == before + 2


def test_what_the_collector_does_not_take_is_lost_and_counted() -> None:
    collector, before = Collector(takes=False), counted("failed")
    exporter = Exporter(collector, "delivery")
    exporter.offer(span())
    exporter.start()
    exporter.close()

    assert counted("failed") == before + 1


def test_nobody_waits_for_a_collector_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(otlp, "CLOSE_WITHIN_S", 0.01)
    collector = Collector()
    collector.open.clear()
    exporter = Exporter(collector, "delivery")
    exporter.offer(span())
    exporter.start()
    assert collector.called.wait(20)
    exporter.offer(span(1))
    exporter.close()

    assert collector.closed
    assert not collector.spans
    collector.open.set()
