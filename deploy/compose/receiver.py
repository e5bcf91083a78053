"""The demo receiver: takes webhooks, writes down what arrived, and whether the signature holds.

A POST to ``/qr3``, ``/xqr`` or ``/standard`` is verified as receivers of that product would do it
(``shared.receiver``), with the secret in DEMO_SECRET, which is the one to give to the webhook. The
answer is 204 where the signature holds and 401 where it does not; each request is one line of JSON
on standard output. It listens on port 9000, or DEMO_PORT, and runs in the image of any service,
with this file mounted into it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from shared.receiver import Receiver

PORT: Final = 9000
PRODUCTS: Final = ("qr3", "xqr", "standard")
BODY_BYTES_MAX: Final = (
    4 * 1024 * 1024
)  # more than a webhook can have; what is cut off holds for nobody
HOLDS: Final = "holds"

Say = Callable[[str], object]


def verdict(receiver: Receiver, headers: Mapping[str, str], body: bytes) -> str:
    """Return ``holds``, or why the signature does not."""
    try:
        receiver.verify(headers, body)
    except ValueError as error:  # NotVerified, or a secret of another product
        return f"does not hold: {error}"
    return HOLDS


def serve(port: int, secret: str, say: Say) -> ThreadingHTTPServer:
    """Return a server that listens on all addresses; ``say`` gets a line for each request."""
    receivers = {f"/{product}": Receiver(product, [secret]) for product in PRODUCTS}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            receiver = receivers.get(self.path)
            if receiver is None:
                self._answer(HTTPStatus.NOT_FOUND)
                return
            body = self.rfile.read(min(length, BODY_BYTES_MAX))
            headers = dict(self.headers.items())
            found = verdict(receiver, headers, body)
            say(_line(self.path, found, headers, body))
            self._answer(HTTPStatus.NO_CONTENT if found == HOLDS else HTTPStatus.UNAUTHORIZED)

        def _answer(self, status: HTTPStatus) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Leave the log to ``say``."""

    return ThreadingHTTPServer(("", port), Handler)


def _line(path: str, found: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return what is written down: the product's own headers and the body as it came."""
    own = {
        name.lower(): value
        for name, value in headers.items()
        if name.lower().startswith(("x-", "webhook-"))
    }
    text = body.decode("utf-8", "backslashreplace")
    return json.dumps({"path": path, "signature": found, "headers": own, "body": text})


def main() -> None:
    """Serve until SIGTERM."""
    secret = os.environ.get("DEMO_SECRET", "")
    if not secret:
        sys.exit("DEMO_SECRET is empty: give the demo receiver the secret of its webhook")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port = int(os.environ.get("DEMO_PORT", PORT))
    with serve(port, secret, lambda line: print(line, flush=True)) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
