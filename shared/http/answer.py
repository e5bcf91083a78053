"""Reads answers off a connection's bytes. Pure: bytes in, attributes out; no socket, no clock.

One ``AnswerReader`` lives as long as its connection and reads one answer after the other. It wraps
httptools' parser (llhttp, which is Node's) and adds what a client of hostile servers needs: bounds
on header, body and total, informational answers that do not count, answers that only the end of
the connection ends, and the certainty that nothing but this answer was in the bytes.

``feed`` never raises for what a receiver sends. After it, one of these holds: ``complete``, or
``fault`` says why these bytes can be no answer, or ``received`` is above ``RESPONSE_BYTES_MAX`` (no
more is read, the status counts), or more bytes are needed.
"""

from __future__ import annotations

from typing import Final

import httptools

from shared.http.limits import HEAD_BYTES_MAX, RESPONSE_BYTES_MAX

_SWITCHING_PROTOCOLS: Final = 101


class AnswerReader:
    """The answer being read.

    ``status`` is the final answer's, 0 until its header is complete. ``received`` counts the
    answer's bytes as sent. ``keep_alive`` says, when ``complete``, that the connection can carry
    another request: the receiver wants it, and no byte followed the answer. ``room`` is how many
    more bytes of the body are kept.
    """

    __slots__ = (
        "_body",
        "_headers",
        "_parser",
        "body_truncated",
        "complete",
        "fault",
        "keep_alive",
        "received",
        "room",
        "status",
    )

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        # A bare LF ends a line too (RFC 9112, 2.2): small hand-made receivers write it. What makes
        # it dangerous for servers, requests of several parties on one connection, is absent here.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)
        self.reset()

    def reset(self) -> None:
        """Forget the answer and get ready for the next; ``room`` is to be set before it comes."""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self.room = 0
        self.body_truncated = False
        self.complete = False
        self.keep_alive = False
        self.fault: str | None = None
        self.received = 0
        self.status = 0

    def feed(self, data: bytes) -> bool:
        """Read on; return whether there is nothing left to read (see the module's text)."""
        if not self.status and self.received + len(data) > HEAD_BYTES_MAX:
            data = self._feed_head(data)
        self.received += len(data)
        self._parse(data)
        return self.complete or self.fault is not None or self.received > RESPONSE_BYTES_MAX

    def ends_with_connection(self) -> bool:
        """Return whether the connection's end is the answer's end (RFC 9112, 6.3).

        That such an answer is whole cannot be known; its status is.
        """
        if not self.status:
            return False
        for name, value in self.headers():
            match name.lower():
                case "content-length":
                    return False
                case "transfer-encoding":
                    return not value.lower().endswith("chunked")
                case _:
                    pass
        return True

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the final answer's headers, in order and casing as sent."""
        return tuple(
            [
                (name.decode("latin-1"), value.decode("latin-1").rstrip(" \t"))
                for name, value in self._headers
            ]
        )

    def body(self) -> bytes:
        """Return what was kept of the body."""
        return b"".join(self._body)

    def release(self) -> None:
        """Give the parser up; it holds methods of this object, a cycle otherwise."""
        del self._parser

    # --- what the parser finds -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Notice that something follows the answer."""
        if self.complete:
            self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect headers; trailers and what follows the answer are dropped."""
        if not self.status:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Tell the final answer from informational ones (RFC 9110, 15.2)."""
        if self.status or self.fault is not None:
            return
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
        elif status == _SWITCHING_PROTOCOLS:
            self.fault = "status 101: the receiver switches to another protocol unasked"
        elif status < 100:
            self.fault = f"status {status:03d} does not exist in HTTP"
        else:
            self._headers.clear()

    def on_body(self, data: bytes) -> None:
        """Keep the body up to its limit."""
        if self.complete:
            return
        if len(data) > self.room:
            data = data[: self.room]
            self.body_truncated = True
        self.room -= len(data)
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Mark the final answer's end; informational ones end without a trace."""
        if self.status and not self.complete:
            self.complete = True
            self.keep_alive = self._parser.should_keep_alive()

    # --- the details -----------------------------------------------------------------------------

    def _feed_head(self, data: bytes) -> bytes:
        """Read what the header may still have; return the rest, which is body if all is well."""
        room = HEAD_BYTES_MAX - self.received
        self.received += room
        self._parse(data[:room])
        if not self.status and self.fault is None:
            self.fault = f"the answer's header is longer than {HEAD_BYTES_MAX // 1024} KiB"
        return data[room:]

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.keep_alive = False
            if not self.complete and self.fault is None:
                self.fault = f"the answer is not HTTP/1.1: {error}"
