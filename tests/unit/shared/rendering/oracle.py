"""JavaScript itself as the judge of ``canonicalise``: one Node.js process, asked line by line."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_PROGRAM: Final = Path(__file__).parents[3] / "node" / "canonicalise_oracle.mjs"


class JavaScript:
    """A running Node.js; ``stringify_parse`` may be called any number of times."""

    def __init__(self) -> None:
        self._node = subprocess.Popen(
            ["node", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def stringify_parse(self, raw: bytes) -> bytes | None:
        """Return ``JSON.stringify(JSON.parse(raw))``, or None when JavaScript refuses ``raw``."""
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.stdin.write(base64.b64encode(raw) + b"\n")
        self._node.stdin.flush()
        answer = self._node.stdout.readline()
        assert answer[:1] in (b"=", b"!"), f"the oracle ended: {self._node.poll()=}"
        return base64.b64decode(answer[1:]) if answer.startswith(b"=") else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._node:  # closes the pipes, which ends the program, and waits for it
            pass
