"""A check of our own for Schemathesis: a refusal of what fits the schema must have its reason here.

Loaded by Schemathesis itself, which runs as a process of its own.
"""

from __future__ import annotations

import os
import re
from typing import Any, Final

import schemathesis

BEYOND_SCHEMA: Final = {
    "Idempotency-Key": "visible ASCII only",
    "If-Match": "has to be an ETag",
    "cursor": "comes from the page before",
    "since|until|created|time": "a time that exists",
    "status": "an empty text is none of the values",
    "metadata": "the filter is key:value",
    "search": "printable characters",
    "url": "absolute, https, a public address",
    r"event(_type)?s(\[\d+\])?|event_type|type": "names in the workspace's catalogue",
    r"aliases(\[\d+\])?": "names that are well-formed and are not lost",
    "secret|signature|payload_format": "what the profile signs with",
    r"metadata\..*": "letters, digits, '_' and '-' in keys; the length of texts",
    r"headers\..*": "no header of ours or of the transport, and what HTTP can carry",
    "concurrency|retention_days": "the deployment's limit",
    r"retry_delays\[\d+\]": "the deployment's delays",
    r"success_codes\[\d+\]": "codes without a meaning of their own",
    r"channels(\[\d+\])?": "visible ASCII, no comma",
    r"filter.*": "the operators' grammar",
    "example": "its size as JSON",
    r"role|scopes(\[\d+\])?": "one of both",
    "expires_at": "a time to come",
    "webhook_id": "named where to_webhook_id is",
    "bucket": "how many of them a window may have, and how long minutes are kept",
    r"data(\..*)?|data_base64": "JSON that JavaScript can hold; one of both",
    "id|source|specversion|datacontenttype": "what CloudEvents and headers allow",
    "profile": "one that the deployment has",
    "scopes": "names of scopes",
}
"""Fields and parameters, and what they must be besides what the document can say of them."""

_KNOWN: Final = re.compile("|".join(BEYOND_SCHEMA), re.DOTALL)
_FRACTION: Final = re.compile(r"expected `int( \| null)?`, got `float`")
"""To JSON Schema 1.0 is an integer; the API takes integers that are written as such."""


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Spare what the run itself needs: its API key, which it could rotate or revoke, and the
    workspace that everything is tried on, which the operator could suspend or delete.
    """
    parameters = case.path_parameters or {}
    if parameters.get("key_id") == os.environ["FUZZ_KEY_ID"]:
        parameters["key_id"] = "key_of_the_run"
    if parameters.get("workspace_id") == os.environ["FUZZ_WORKSPACE"]:
        parameters["workspace_id"] = "ws_nobody"


@schemathesis.check
def refused_for_what_the_schema_cannot_say(ctx: Any, response: Any, case: Any) -> None:
    """Fail when a request that fits the schema is refused for something the schema could say."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if response.status_code not in (400, 422):
        return
    problem = response.json()
    errors = problem.get("errors") or [{"field": "", "detail": problem["detail"]}]
    unknown = [error for error in errors if not _is_known(error["field"], error["detail"])]
    assert not unknown, (
        f"the document allows what is refused ({unknown}): say it in the schema or, where that is "
        "not possible, in BEYOND_SCHEMA (tests/fuzz/hooks.py)"
    )


def _is_known(field: str, detail: str) -> bool:
    return _KNOWN.fullmatch(field) is not None or _FRACTION.fullmatch(detail) is not None
