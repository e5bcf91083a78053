"""CloudEvents over HTTP, in the form that a record on ``events`` has: one decoder reads both.

The HTTP binding (https://github.com/cloudevents/spec, HTTP 1.0.2) has three modes. *Binary*: the
attributes in ``ce-`` headers, data in the body. *Structured*: all of it in the body. *Batch*: an
array of structured ones. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

from services.gateway.handlers.event_traces import Headers
from services.gateway.handlers.events import Posted
from shared.models.events import TRACE_HEADER

STRUCTURED_TYPE: Final = "application/cloudevents+json"
BATCH_TYPE: Final = "application/cloudevents-batch+json"
HEADER_PREFIX: Final = "ce-"
_RECORD_PREFIX: Final = "ce_"
_STRUCTURED: Final = (("content-type", STRUCTURED_TYPE.encode()),)
_ESCAPED: Final = re.compile(r"\\(.)")


def posted(body: bytes, content_type: str, headers: Iterable[tuple[str, str]]) -> Posted:
    """Return one event of a request: a CloudEvent in either mode, or a native event.

    ``headers`` have names in lower case. The content type decides before the ``ce-`` headers, as it
    does on Kafka.
    """
    given = list(headers)
    trace = trace_of(given)
    if content_type == STRUCTURED_TYPE:
        return structured(body, trace)
    attributes = tuple(
        (_RECORD_PREFIX + name.removeprefix(HEADER_PREFIX), _attribute(value))
        for name, value in given
        if name.startswith(HEADER_PREFIX)
    )
    return Posted(body, (*attributes, *trace))


def structured(body: bytes, trace: Headers = ()) -> Posted:
    """Return one event in structured mode."""
    return Posted(body, (*_STRUCTURED, *trace))


def trace_of(headers: Iterable[tuple[str, str]]) -> Headers:
    """Return the header of a request that says in which trace it is, as a record has it."""
    return tuple(
        (name, value.encode("utf-8", "replace")) for name, value in headers if name == TRACE_HEADER
    )


def _attribute(value: str) -> bytes:
    """Return the UTF-8 of an attribute: headers carry it quoted or percent-encoded (3.1.3.2)."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = _ESCAPED.sub(r"\1", value[1:-1])
    return unquote_to_bytes(value)
