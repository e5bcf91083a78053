"""What the delivery log tells, read from its collection as it is stored."""

from __future__ import annotations

from typing import Any

from shared.models.attempts import Attempt, decode_attempt
from shared.storage.chunks import merge, unpack


async def log_rows(collection: Any) -> list[Attempt]:
    """Return all rows of the log; one that is in two chunks is told once, as it was first."""
    chunks = collection.find({}).sort("_id", 1)
    records = [record async for chunk in chunks for record in unpack(chunk["attempts"])]
    rows: dict[str, bytes] = {}
    merge(rows, records)
    return [decode_attempt(record) for record in rows.values()]
