"""What the figures were made on: machine, versions, load."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from shared.config import PREFIX

REPOSITORY: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = ("aiokafka", "faust-streaming", "httptools", "msgspec", "secantusdb", "uvloop")


def describe() -> dict[str, Any]:
    """Return what belongs beside any result."""
    return {
        "commit": _printed("git", "rev-parse", "--short=12", "HEAD"),
        "changed": bool(_printed("git", "status", "--porcelain")),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "go": _printed("go", "env", "GOVERSION"),
        "settings": _numbers(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def load_average() -> list[float]:
    """Return the load averages of 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def _numbers() -> dict[str, str]:
    """Return the settings that are numbers: others may be secrets, or paths of this machine."""
    given = {name: text for name, text in os.environ.items() if name.startswith(PREFIX)}
    return {name: text for name, text in given.items() if text.isdigit()}


def _printed(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
