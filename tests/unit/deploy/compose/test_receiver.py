"""The demo receiver: what it writes down and answers."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest

from deploy.compose import receiver

SECRET = "a secret of 16 characters or more"
BODY = '{"id":"evt_1","name":"Zoë"}'.encode()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def server(said: list[str]) -> Iterator[ThreadingHTTPServer]:
    with receiver.serve(0, SECRET, said.append) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def post(server: ThreadingHTTPServer, path: str, body: bytes, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    connection.request("POST", path, body, given)
    status = connection.getresponse().status
    connection.close()
    return status


def signature(secret: str, body: bytes = BODY) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def test_a_genuine_webhook_is_written_down_as_it_came(
    server: ThreadingHTTPServer, said: list[str]
) -> None:
    assert post(server, "/qr3", BODY, X_QR3_Signature=signature(SECRET), X_QR3_Attempt="1") == 204

    line = json.loads(said[0])
    assert line["path"] == "/qr3"
    assert line["signature"] == "holds"
    assert line["body"] == BODY.decode()
    assert line["headers"] == {"x-qr3-signature": signature(SECRET), "x-qr3-attempt": "1"}


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/qr3", {}),
        ("/qr3", {"X_QR3_Signature": signature("another secret of some length")}),
        ("/qr3", {"X_QR3_Signature": signature(SECRET, b"other bytes")}),
        ("/xqr", {"X_QR3_Signature": signature(SECRET)}),
        ("/standard", {"webhook_signature": "v1,AAAA"}),
    ],
    ids=["none", "secret", "bytes", "product", "no secret of Standard Webhooks"],
)
def test_any_other_is_refused_and_the_line_says_why(
    server: ThreadingHTTPServer, said: list[str], path: str, headers: dict[str, str]
) -> None:
    assert post(server, path, BODY, **headers) == 401

    assert json.loads(said[0])["signature"].startswith("does not hold: ")


def test_a_path_of_no_product_is_not_found(server: ThreadingHTTPServer, said: list[str]) -> None:
    assert post(server, "/else", BODY) == 404
    assert said == []


def test_without_a_secret_it_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_SECRET", "")

    with pytest.raises(SystemExit, match="DEMO_SECRET is empty"):
        receiver.main()
