"""A receiver around the Python sample of QR3's guide: ``verify_signature`` to the letter.

The guide's page has lost its line breaks; they are put back, nothing else differs. The sample
verifies over the text it is given: here the request's body, decoded as UTF-8. Around it is the
least of a server: 200 for a valid signature, 401 for another, and what ``observer.mjs`` notes of
each request, on a control port.

    QR3_WEBHOOK_SECRET=… python python_sample.py
"""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

# --- The guide's sample ---------------------------------------------------------------------------
import hmac  # isort: skip
import hashlib  # isort: skip


def verify_signature(payload: str, signature: str, secret: str) -> bool:
    expected = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    received = signature.removeprefix("sha256=")
    return hmac.compare_digest(expected, received)


# --- End of the sample ----------------------------------------------------------------------------


HOST = "127.0.0.1"
answered: list[dict[str, Any]] = []


class Receiver(BaseHTTPRequestHandler):
    """Answers webhooks as the sample judges them."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        arrived_ms = time.time_ns() // 1_000_000
        body = self.rfile.read(int(self.headers["Content-Length"]))
        valid = verify_signature(
            body.decode(), self.headers["X-QR3-Signature"], os.environ["QR3_WEBHOOK_SECRET"]
        )
        status = 200 if valid else 401
        answered.append(
            {
                "arrived_ms": arrived_ms,
                "path": self.path,
                "headers": [text for pair in self.headers.items() for text in pair],
                "body": base64.b64encode(body).decode(),
                "status": status,
            }
        )
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Control(BaseHTTPRequestHandler):
    """Shows what was received, from the request after ``?after=N`` on."""

    def do_GET(self) -> None:
        after = int(parse_qs(urlsplit(self.path).query)["after"][0])
        shown = json.dumps(answered[after:]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(shown)))
        self.end_headers()
        self.wfile.write(shown)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until killed; the first line on stdout says on which ports."""
    servers = [ThreadingHTTPServer((HOST, 0), handler) for handler in (Receiver, Control)]
    ports = dict(zip(("port", "control_port"), (s.server_port for s in servers), strict=True))
    print(json.dumps(ports), flush=True)
    threading.Thread(target=servers[1].serve_forever, daemon=True).start()
    servers[0].serve_forever()


if __name__ == "__main__":
    main()
