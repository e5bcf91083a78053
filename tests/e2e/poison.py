"""Every form of record that a producer may put on ``events``, good and bad, each with its name.

Pure data: ``good_cases`` must be delivered, ``bad_cases`` must end in ``events.rejected`` as they
are. The cases of one call have ids and keys that begin with ``run``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from tests.support.producers import Message

CREATED: Final = "qr.created"
HUGE_BYTES: Final = 1_000_000  # of data, just below what a record may be
FAR_FUTURE_MS: Final = 2**52
DATA: Final = b'{"n": 1}'  # of an ordinary event, as json.dumps() writes it
STRUCTURED: Final = (("content-type", b"application/cloudevents+json; charset=utf-8"),)


def good_cases(run: str, workspace_id: str) -> Mapping[str, Message]:
    """Return messages that must be delivered, by the id of their event."""
    event = {"type": CREATED, "workspace_id": workspace_id, "data": {"n": 1}}
    plain: dict[str, dict[str, Any]] = {
        "plain": event,
        "alias": event | {"type": "scan.created"},
        "unknown-members": event | {"channel": "a", "nested": [[[{}]]]},
        "created-elsewhere": event | {"created": "2026-03-15T12:00:00.123456789+02:00"},
        "lone-surrogate": event | {"data": {"\ud83d": "\udc00"}},
        "longest-id": event,
        "huge": event | {"data": {"text": "x" * HUGE_BYTES}},
        "deep": event | {"data": {"a": json.loads("[" * 490 + "]" * 490)}},
    }
    cases = {
        name: Message(value=json.dumps(members | {"id": f"{run}-{name}"}).encode())
        for name, members in plain.items()
    }
    base = cases["plain"]
    odd: dict[str, dict[str, Any]] = {
        "null-header": {"headers": (("trace", None), ("trace", b"2"))},
        "odd-headers": {"headers": (("", b""), ("é\r\n", bytes(range(256))))},
        "timestamp-none": {"timestamp_ms": -1},
        "timestamp-zero": {"timestamp_ms": 0},
        "timestamp-far": {"timestamp_ms": FAR_FUTURE_MS},
        "binary-key": {"key": b"\xff\x00\r\n"},
    }
    for name, changes in odd.items():
        value = (base.value or b"").replace(b"-plain", f"-{name}".encode())
        cases[name] = replace(base, value=value, **changes)
    cases |= _good_cloud_events(run, workspace_id)
    return {f"{run}-{name}": message for name, message in cases.items()}


def _good_cloud_events(run: str, workspace_id: str) -> dict[str, Message]:
    attributes = {"specversion": "1.0", "type": CREATED, "source": "/shop"}
    structured = attributes | {"workspaceid": workspace_id, "data": {"n": 1}}
    by_source = structured | {"source": workspace_id}
    del by_source["workspaceid"]
    headers = {**attributes, "id": f"{run}-ce-binary", "workspaceid": workspace_id}
    return {
        "ce-structured": _json(structured | {"id": f"{run}-ce-structured"}, STRUCTURED),
        "ce-no-header": _json(structured | {"id": f"{run}-ce-no-header"}),
        "ce-source": _json(by_source | {"id": f"{run}-ce-source"}, STRUCTURED),
        "ce-binary": Message(value=b'{"n":1}', headers=_ce_headers(headers)),
    }


def bad_cases(run: str, workspace_id: str) -> Mapping[bytes, Message]:
    """Return messages that must be rejected, by their key."""
    event = {"type": CREATED, "workspace_id": workspace_id, "data": {"n": 1}}
    values = {**_not_json(event), **_wrong_members(event), **_unsendable_data(event)}
    cases = {name: Message(value=value) for name, value in values.items()}
    cases |= {
        "tombstone": Message(value=None),
        "tombstone-null-header": Message(value=None, headers=(("trace", None), ("b", b"\xff"))),
        **_bad_cloud_events(event),
    }
    return {
        f"{run}-{name}".encode(): replace(message, key=f"{run}-{name}".encode())
        for name, message in cases.items()
    }


def _not_json(event: Mapping[str, Any]) -> dict[str, bytes]:
    good = json.dumps(event).encode()
    return {
        "empty": b"",
        "space": b" \n",
        "word": b"hello",
        "truncated": good[:-1],
        "twice": good + good,
        "trailing-comma": good[:-1] + b",}",
        "single-quotes": good.replace(b'"', b"'"),
        "nan": good.replace(DATA, b'{"n":NaN}'),
        "null": b"null",
        "number": b"1",
        "string": json.dumps(good.decode()).encode(),
        "array": b"[" + good + b"]",
        "binary": bytes(range(256)),
        "zeros": bytes(1_000),
        "byte-order-mark": b"\xef\xbb\xbf" + good,
        "utf-16": good.decode().encode("utf-16"),
        "bad-utf-8-in-id": good.replace(b"{", b'{"id":"\xff",', 1),
        "bad-utf-8-in-data": good.replace(DATA, b'{"n":"\xc0\xaf"}'),
        "raw-surrogate": good.replace(DATA, b'{"n":"\xed\xa0\x80"}'),
        "huge": b"x" * HUGE_BYTES,
        "brackets-3000": b"[" * 3_000,
        "brackets-100000": b"[" * 100_000,
        "braces-100000": b'{"a":' * 100_000,
    }


def _wrong_members(event: Mapping[str, Any]) -> dict[str, bytes]:
    changes: dict[str, dict[str, Any]] = {
        "type-number": {"type": 5},
        "type-null": {"type": None},
        "type-empty": {"type": ""},
        "type-unknown": {"type": "qr.exploded"},
        "type-not-a-name": {"type": "qr created\r\n"},
        "type-long": {"type": "a" * 10_000},
        "type-ping": {"type": "webhook.ping"},
        "workspace-number": {"workspace_id": 5},
        "workspace-unknown": {"workspace_id": "ws_0000"},
        "workspace-empty": {"workspace_id": ""},
        "workspace-surrogate": {"workspace_id": "ws_\ud83d"},
        "id-number": {"id": 5},
        "id-empty": {"id": ""},
        "id-crlf": {"id": "evt_1\r\nX-Evil: 1"},
        "id-space": {"id": "evt 1"},
        "id-not-ascii": {"id": "evt_é"},
        "id-surrogate": {"id": "evt_\ud83d"},
        "id-long": {"id": "e" * 129},
        "created-number": {"created": 5},
        "created-word": {"created": "today"},
        "created-no-zone": {"created": "2026-03-15T10:00:00"},
        "data-null": {"data": None},
        "data-text": {"data": "text"},
        "data-array": {"data": [1]},
    }
    cases = {name: json.dumps({**event, **change}).encode() for name, change in changes.items()}
    for name in event:
        left = {key: value for key, value in event.items() if key != name}
        cases[f"no-{name}"] = json.dumps(left).encode()
    return cases


def _unsendable_data(event: Mapping[str, Any]) -> dict[str, bytes]:
    good = json.dumps(event).encode()
    levels = {count: b"[" * count + b"]" * count for count in (501, 3_000, 100_000)}
    return {
        "integer-changes": good.replace(DATA, b'{"n":9007199254740993}'),
        "infinite": good.replace(DATA, b'{"n":1e400}'),
        **{
            f"deep-{count}": good.replace(DATA, b'{"n":' + nested + b"}")
            for count, nested in levels.items()
        },
        "deep-unknown-member": good.replace(b"{", b'{"a":' + levels[100_000] + b",", 1),
    }


def _bad_cloud_events(event: Mapping[str, Any]) -> dict[str, Message]:
    attributes = {"specversion": "1.0", "id": "ce_1", "type": CREATED, "source": "/shop"}
    binary = {**attributes, "workspaceid": str(event["workspace_id"])}
    structured = {**binary, "data": {"n": 1}}
    value = b'{"n":1}'
    cases: dict[str, dict[str, Any]] = {
        "ce-no-id": {key: item for key, item in structured.items() if key != "id"},
        "ce-no-data": binary,
        "ce-base64": {**binary, "data_base64": "PGEvPg=="},
        "ce-xml": {**structured, "datacontenttype": "text/xml"},
        "ce-no-workspace": {**structured, "workspaceid": None},
        "ce-time": {**structured, "time": "yesterday"},
    }
    without_type = {key: item for key, item in binary.items() if key != "type"}
    bad_text = (("ce_specversion", b"1.0"), ("ce_id", b"\xff"))
    return {
        **{name: _json(members, STRUCTURED) for name, members in cases.items()},
        "ce-not-json": Message(value=b"<xml/>", headers=STRUCTURED),
        "ce-binary-no-type": Message(value=value, headers=_ce_headers(without_type)),
        "ce-binary-no-value": Message(value=None, headers=_ce_headers(binary)),
        "ce-binary-not-json": Message(value=b"<xml/>", headers=_ce_headers(binary)),
        "ce-binary-crlf": Message(value=value, headers=_ce_headers({**binary, "id": "1\r\n2"})),
        "ce-binary-not-utf-8": Message(value=value, headers=bad_text),
        "ce-binary-null": Message(value=value, headers=(("ce_specversion", None),)),
    }


def _json(members: Mapping[str, Any], headers: tuple[tuple[str, bytes], ...] = ()) -> Message:
    return Message(value=json.dumps(members).encode(), headers=headers)


def _ce_headers(attributes: Mapping[str, str]) -> tuple[tuple[str, bytes], ...]:
    return tuple((f"ce_{name}", text.encode()) for name, text in attributes.items())
