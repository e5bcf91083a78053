"""Running the programs of this folder: cases in, verdicts out. ``tests/verifiers/build`` first."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.architecture.repository import ROOT
from tests.support.receivers import Received

PROGRAMS: Final = Path(__file__).parent / "programs"
BUILT: Final = ROOT / ".cache/verifiers"
ENDS_WITHIN_S: Final = 50
ACCEPTED: Final = "accepted"

VERIFIERS: Final[Mapping[str, Sequence[str]]] = {
    "python": (sys.executable, str(PROGRAMS / "verify.py")),
    "javascript": ("node", str(PROGRAMS / "verify.mjs")),
    "go": (str(BUILT / "verify"),),
    "rust": (str(BUILT / "rust/debug/hooklane-verifiers"),),
}
"""A program with the library that its language has for Standard Webhooks."""

KNOW_ED25519: Final = ("javascript", "go")
"""Those that verify ``v1a`` besides, with a key set, by what comes with the language."""


def verdicts(program: Sequence[str], cases: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what a program prints of each case."""
    given = [json.dumps(case) for case in cases]
    done = subprocess.run(
        program,
        input="".join(f"{line}\n" for line in given),
        capture_output=True,
        text=True,
        timeout=ENDS_WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    assert len(printed) == len(given), printed
    return printed


def case_of(request: Received, **known: object) -> dict[str, Any]:
    """Return the case of a request as it arrived; ``known`` is what its receiver has."""
    return {
        "headers": dict(request.headers),
        "body": base64.b64encode(request.body).decode(),
        **known,
    }
