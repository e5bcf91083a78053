"""The table of record versions in ``docs/upgrading.md`` against the golden files and topic table.

It is made from them: a failing test prints the table as it should be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from shared.models.deliveries import DeliveryMeta
from shared.topics import ATTEMPTS, DEAD, DEFAULT_TIERS, DELIVERIES, ENDPOINTS, EVENTS, Tiers, Topic
from shared.topics import tier_topic as row_of_tier
from tests.architecture.repository import ROOT

GOLDEN: Final = ROOT / "tests/golden"
ANY_TIER: Final = msgspec.structs.replace(
    row_of_tier(Tiers.parse(DEFAULT_TIERS).all[0]), name="retry.…"
)
TOPICS: Final[dict[str, tuple[Topic, ...]]] = {
    "event": (EVENTS,),
    "endpoint": (ENDPOINTS,),
    "workspace": (ENDPOINTS,),
    "delivery-meta": (DELIVERIES, ANY_TIER, DEAD),
    "attempt": (ATTEMPTS,),
}


def _files() -> dict[str, list[Path]]:
    """Return the golden files of each kind of record, its first version first."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(GOLDEN.iterdir(), key=_version):
        name = path.name.partition(".")[0]
        kind = next(kind for kind in TOPICS if name == kind or name.startswith(f"{kind}-"))
        kinds.setdefault(kind, []).append(path)
    return kinds


def _version(path: Path) -> int:
    match = re.search(r"\.v(\d+)\.", path.name)
    assert match is not None, path.name
    return int(match[1])


def _fields(paths: Iterable[Path]) -> list[str]:
    """Return the fields that these files have, in their order."""
    found: dict[str, None] = {}
    for path in paths:
        if path.suffix == ".msgpack":
            count = len(msgspec.msgpack.decode(path.read_bytes()))
            found |= dict.fromkeys(DeliveryMeta.__struct_fields__[:count])
        else:
            found |= dict.fromkeys(json.loads(path.read_bytes()))
    return list(found)


def _additions(paths: list[Path]) -> str:
    """Return what each version after the first has that those before it had not."""
    said = []
    for version in range(2, _version(paths[-1]) + 1):
        before = _fields(path for path in paths if _version(path) < version)
        added = [name for name in _fields(paths) if name not in before]
        now = _fields(path for path in paths if _version(path) == version)
        names = ", ".join(f"`{name}`" for name in added if name in now)
        said.append(f"v{version}: {names}")
    return "; ".join(said) or "nothing"


def _services(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def test_the_table_of_record_versions_is_that_of_the_golden_files() -> None:
    rows = [
        "| Record | Topics | Versions read | Written | Added since v1 | Written by | Read by |",
        "|---|---|---|---|---|---|---|",
    ]
    files = _files()
    for kind, topics in TOPICS.items():
        paths = files[kind]
        newest = _version(paths[-1])
        cells = (
            kind,
            ", ".join(f"`{topic.name}`" for topic in topics),
            f"v1 to v{newest}" if newest > 1 else "v1",
            f"v{newest}",
            _additions(paths),
            _services(writer for topic in topics for writer in topic.writers),
            _services(reader for topic in topics for reader in topic.readers),
        )
        rows.append(f"| {' | '.join(cells)} |")
    table = "\n".join(rows)

    assert table in (ROOT / "docs/upgrading.md").read_text(encoding="utf-8"), table
