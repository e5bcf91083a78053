"""A collector of traces: takes OTLP over HTTP, as a real one does, and keeps the spans."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from deploy.local import ports

PATH: Final = "/v1/traces"
CONTENT_TYPE: Final = "application/x-protobuf"


class SpanSeen(NamedTuple):
    """A span as it came over the wire; ids in hex, ``parent`` empty for none."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent: str
    start_ns: int
    end_ns: int
    failed: bool
    attributes: dict[str, str | int]


class TraceCollector:
    """The server, in a thread of its own. Use it as a context manager."""

    def __init__(self) -> None:
        self._spans: list[SpanSeen] = []
        self._server = ThreadingHTTPServer((ports.HOST, 0), _handler(self._spans))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Return where traces go."""
        return f"http://{ports.HOST}:{self._server.server_address[1]}{PATH}"

    def of(self, trace_id: str) -> list[SpanSeen]:
        """Return the spans of a trace that have come so far."""
        return [span for span in list(self._spans) if span.trace_id == trace_id]


def _handler(spans: list[SpanSeen]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert (self.path, self.headers["Content-Type"]) == (PATH, CONTENT_TYPE)
            request = ExportTraceServiceRequest()
            request.ParseFromString(body)
            spans.extend(_spans(request))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Keep requests out of the test's output."""

    return Handler


def _spans(request: ExportTraceServiceRequest) -> list[SpanSeen]:
    seen = []
    for resource in request.resource_spans:
        named = {one.key: one.value.string_value for one in resource.resource.attributes}
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            attributes: dict[str, str | int] = {
                one.key: one.value.string_value or one.value.int_value for one in span.attributes
            }
            seen.append(
                SpanSeen(
                    named["service.name"],
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code == span.status.STATUS_CODE_ERROR,
                    attributes,
                )
            )
    return seen
