"""CloudEvents in Python, with the official SDK: what arrives, and what a producer makes.

Reads cases from stdin, one JSON object a line, and prints a JSON object for each. A case with
``headers`` and ``body`` (base64) is a request: printed are the event's attributes and its ``data``,
or ``error``. A case with ``attributes`` and ``data`` is an event to produce: printed are the Kafka
messages ``binary`` and ``structured``, with ``headers`` and ``value`` (base64).
"""

from __future__ import annotations

import base64
import json
import sys
from datetime import datetime
from typing import Any

from cloudevents.core.bindings import kafka
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.v1.event import CloudEvent


def parsed(case: dict[str, Any]) -> dict[str, Any]:
    message = HTTPMessage(headers=case["headers"], body=base64.b64decode(case["body"]))
    try:
        event = from_http_event(message)
    except (ValueError, KeyError, CloudEventValidationError) as error:
        return {"error": repr(error)}
    return {**event.get_attributes(), "data": event.get_data()}


def shown(message: kafka.KafkaMessage) -> dict[str, Any]:
    headers = {name: value.decode() for name, value in message.headers.items()}
    return {"headers": headers, "value": base64.b64encode(message.value).decode()}


def produced(case: dict[str, Any]) -> dict[str, Any]:
    attributes = {**case["attributes"], "time": datetime.fromisoformat(case["attributes"]["time"])}
    event = CloudEvent(attributes, case["data"])
    return {
        "binary": shown(kafka.to_binary_event(event)),
        "structured": shown(kafka.to_structured_event(event)),
    }


def text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


for line in sys.stdin:
    given = json.loads(line)
    print(json.dumps(parsed(given) if "body" in given else produced(given), default=text))
