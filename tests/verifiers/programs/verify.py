"""Receivers in Python: the published library for Standard Webhooks.

Reads cases from stdin, one JSON object a line: ``headers``, ``body`` (base64), ``secret``. Prints a
line for each: ``accepted``, or ``refused: `` and the library's reason.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError


def verdict(case: dict[str, Any]) -> str:
    try:
        Webhook(case["secret"]).verify(base64.b64decode(case["body"]), case["headers"])
    except WebhookVerificationError as error:
        return f"refused: {error}"
    return "accepted"


for line in sys.stdin:
    print(verdict(json.loads(line)))
