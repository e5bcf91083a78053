"""Files of the state folder that hold credentials."""

from __future__ import annotations

import json
import os
from pathlib import Path


def write_private(path: Path, content: object) -> None:
    """Write `content` as JSON, as a whole or not at all, readable by its owner only."""
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    partial.replace(path)
