"""Times in parameters: RFC 3339 in, Unix milliseconds out. Pure."""

from __future__ import annotations

from shared.models.errors import Invalid
from shared.models.times import parse_ms


def time_of(field: str, text: str | None) -> int | None:
    """Return the Unix milliseconds of a time that may be absent; raises Invalid for nonsense."""
    try:
        return None if text is None else parse_ms(text)
    except (ValueError, OverflowError) as error:
        raise Invalid(str(error), field=field) from None
