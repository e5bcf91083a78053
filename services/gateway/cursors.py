"""Cursors: where a page of a list ends, as text that a client only hands back.

A cursor is the id of a page's last item in base64url. It is opaque so that it may change, not
because it hides anything. Pure.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from shared.models.errors import Invalid

_ID: Final = re.compile(r"[a-z]{1,8}_[0-9a-f]{32}")


def encode_cursor(identifier: str) -> str:
    """Return the cursor for what comes after ``identifier``."""
    return base64.urlsafe_b64encode(identifier.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, prefix: str, shape: re.Pattern[str] = _ID) -> str:
    """Return the id in a cursor for ids of ``prefix``; raises Invalid, with the fix.

    ``shape`` is that of ids that people may have chosen.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        identifier = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        identifier = ""
    if shape.fullmatch(identifier) is None or not identifier.startswith(f"{prefix}_"):
        raise Invalid(
            "cursor is not one of this list; use next_cursor of the page before", field="cursor"
        )
    return identifier
