"""What the audit log says of a change: which fields, before and after, and never a secret.

A handler tells the ``Trail`` of its caller what was there and what is there now. Which fields of a
record are shown, under which name, is a table of those that may be (``_SHOWN``): a field that is
new is not shown until somebody decides that it may be. Secrets are named and not shown. Callers may
put a secret anywhere (in a path, in a description); what looks like one of Hooklane's own is masked
wherever it stands (``masked``). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from shared.models.audit import Change, Entry
from shared.models.jobs import Job
from shared.models.management import ApiKey, Endpoint, OwnType, Workspace
from shared.models.rejected import Rejected
from shared.models.times import iso_ms

VALUE_BYTES_MAX: Final = 1_024
"""A longer value, as JSON, is withheld: an entry is a note and not a copy."""

OBJECT_LENGTH_MAX: Final = 128

_SECRET: Final = re.compile(
    r"(?:hk|whsec|whsk)_[\w+/=-]{12,}"  # API keys; secrets and private keys of Standard Webhooks
    r"|eyJ[\w-]*\.[\w-]*\.[\w-]*",  # tokens (JWT), which begin with {" in base64
    re.ASCII,
)
_MASK: Final = "********"


class Shown(NamedTuple):
    """A field of a record: its name in the API, and what is shown of it; None withholds it."""

    name: str
    value: Callable[[Any], Any] | None


def _as_is(value: Any) -> Any:
    return value


def _time(value: int | None) -> str | None:
    return None if value is None else iso_ms(value)


def _json(value: str | None) -> Any:
    return None if value is None else msgspec.json.decode(value)


def _without_query(url: str) -> str:
    """Return a URL without its query, where people put tokens."""
    before, mark, _ = url.partition("?")
    return before + (mark and "?…")


def _plain(*names: str) -> dict[str, Shown]:
    return {name: Shown(name, _as_is) for name in names}


_SHOWN: Final[Mapping[type, Mapping[str, Shown]]] = {
    Endpoint: {
        "url": Shown("url", _without_query),
        **_plain("events", "description", "metadata", "channels", "disabled_reason"),
        **_plain("concurrency", "rate_limit", "retry_delays", "timeout_ms", "success_codes"),
        **_plain("payload_format", "public_key"),
        "active": Shown("is_active", _as_is),
        "paused_ms": Shown("paused_at", _time),
        "retries_discarded_ms": Shown("retries_discarded_until", _time),
        **_plain("discarded_retries"),
        "filter": Shown("filter", _json),
        "headers": Shown("headers", None),
        "secret": Shown("secret", None),
    },
    OwnType: {
        "name": Shown("type", _as_is),
        **_plain("aliases", "description", "deprecated", "archived"),
        "example": Shown("example", _json),
    },
    ApiKey: {
        **_plain("name", "role", "scopes"),
        "hint": Shown("prefix", _as_is),
        "expires_ms": Shown("expires_at", _time),
        "revoked_ms": Shown("revoked_at", _time),
        "digest": Shown("key", None),
    },
    Job: {
        "id": Shown("job", _as_is),
        **_plain("kind", "status", "state", "event_types", "event_ids"),
        "endpoint_id": Shown("webhook_id", _as_is),
        "target_id": Shown("to_webhook_id", _as_is),
        "rate_per_s": Shown("rate", _as_is),
        "since_ms": Shown("since", _time),
        "until_ms": Shown("until", _time),
    },
    Workspace: {
        **_plain("name", "retention_days"),
        "limits": Shown("limits", msgspec.to_builtins),
        "suspended_ms": Shown("suspended_at", _time),
        "deleting_ms": Shown("deleting_since", _time),
    },
    Rejected: {**_plain("state", "event_id"), "value": Shown("value", None)},
}
"""Which fields of a record an entry may name. What is not here is our own book-keeping."""


class Trail:
    """What one request changes. ``object_id`` names the thing, where the path does not."""

    def __init__(self) -> None:
        self.object_id: str | None = None
        self.changes: tuple[Change, ...] = ()

    def changed(self, before: msgspec.Struct | None, after: msgspec.Struct | None) -> None:
        """Take note of a change; None stands for what was not there, or is not there any more."""
        thing = after if before is None else before
        assert thing is not None
        self.object_id = getattr(thing, "id", None) or getattr(thing, "name", None)
        self.changes = tuple(differences(before, after))


def differences(before: msgspec.Struct | None, after: msgspec.Struct | None) -> Iterator[Change]:
    """Yield the fields in which two states of a thing differ."""
    shown = _SHOWN[type(before if after is None else after)]
    for field, (name, value_of) in shown.items():
        old = None if before is None else getattr(before, field)
        new = None if after is None else getattr(after, field)
        if old == new or ((before is None or after is None) and not (old or new)):
            continue
        if value_of is None:
            yield Change(field=name, withheld=True)
            continue
        texts = [None if value is None else value_of(value) for value in (old, new)]
        if len(msgspec.json.encode(texts)) > VALUE_BYTES_MAX:
            yield Change(field=name, withheld=True)
        else:
            yield Change(field=name, before=texts[0], after=texts[1])


def masked(entry: Entry) -> Entry:
    """Return an entry without anything that looks like a key, a secret or a token."""
    said = msgspec.json.encode(entry).decode()
    return msgspec.json.decode(_SECRET.sub(_MASK, said), type=Entry)
