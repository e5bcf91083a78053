"""Names that the OpenAPI document gives to operations. Pure.

Generated clients turn them into functions: ``POST /v1/webhooks/{webhook_id}/secret/rotate`` is
``rotate_webhook_secret``. They are part of the API: a name that was published stays. What the rule
here gets wrong is put right on the route, with ``operation_id``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from litestar.handlers import HTTPRouteHandler

FACES: Final = {("api", "v1"): "xqr", ("api", "developer"): "xqr", ("v1",): ""}
"""The first parts of a path, and what the names of its operations begin with."""

_PARAMETER: Final = None
_ON_ONE: Final = {"GET": "get", "PATCH": "update", "PUT": "replace", "DELETE": "delete"}
_ON_ALL: Final = {**_ON_ONE, "GET": "list", "POST": "create"}


def operation_id(_: HTTPRouteHandler, method: str, path: Sequence[Any]) -> str:
    """Return the name of an operation; ``path`` is split as Litestar does it."""
    parts = [part.strip("/") if isinstance(part, str) else _PARAMETER for part in path]
    return operation_name(method, parts)


def operation_name(method: str, parts: Sequence[str | None]) -> str:
    """Return the name of an operation; None stands for a parameter in its path.

    What comes before a parameter is one of many: ``webhooks``, None is *a webhook*. What a POST
    ends in is an action (``pause``), unless it is a collection (``webhooks``).
    """
    face, rest = _split_face(parts)
    words = [
        singular(_word(part)) if index + 1 < len(rest) and rest[index + 1] is None else _word(part)
        for index, part in enumerate(rest)
        if part is not None
    ]
    last = rest[-1] if rest else None
    if last is None:
        verb = _ON_ONE.get(method, "call")
    elif is_plural(last):
        verb = _ON_ALL[method]
        words[-1] = words[-1] if method == "GET" else singular(words[-1])
    elif method == "POST":
        verb = words.pop()
    else:
        verb = _ON_ONE[method]
    return "_".join(word for word in (face, verb, *words) if word)


def is_plural(word: str) -> bool:
    """Return whether a part of a path is a collection."""
    return word.endswith("s") and not word.endswith(("ss", "stats"))


def singular(word: str) -> str:
    """Return what one of a collection is called."""
    if word.endswith("ies"):
        return word.removesuffix("ies") + "y"
    return word.removesuffix("s") if is_plural(word) else word


def _split_face(parts: Sequence[str | None]) -> tuple[str, Sequence[str | None]]:
    for first, face in FACES.items():
        if tuple(parts[: len(first)]) == first:
            return face, parts[len(first) :]
    return "", parts


def _word(part: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", part.lower()).strip("_")
