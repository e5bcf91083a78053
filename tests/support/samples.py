"""The guides' own receivers, run as programs: their verdict on a request is their answer's status.

The programs are in ``tests/receivers``; the Express ones need Node.js, and ``npm ci`` there. Each
notes what it received and how it answered, for ``Sample.received`` to read.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from deploy.local import ports
from deploy.local.processes import Child
from tests.support.polling import until
from tests.support.receivers import ARRIVES_WITHIN_S, Received

SAMPLES_DIR: Final = Path(__file__).resolve().parents[1] / "receivers"
READY_WITHIN_S: Final = 20.0
_numbers = itertools.count(1)


class Sample(Child):
    """A program of ``tests/receivers``. ``url`` is known once ``start()`` has returned."""

    def __init__(
        self, command: Sequence[str], path: str, *, logs_dir: Path, env: Mapping[str, str]
    ) -> None:
        super().__init__(
            f"{Path(command[1]).stem}-{next(_numbers)}",
            command,
            logs_dir=logs_dir,
            env={**os.environ, **env},
            ready_within_s=READY_WITHIN_S,
        )
        self._path = path
        self._received: list[Received] = []
        self._client = httpx.AsyncClient()
        self._ports: dict[str, int] = {}

    @property
    def url(self) -> str:
        """Return where the sample takes webhooks."""
        return f"http://{ports.HOST}:{self._ports['port']}{self._path}"

    async def is_ready(self) -> bool:
        """Read the ports that the program prints on its first line."""
        first, newline, _ = self.log_path.read_text(errors="replace").partition("\n")
        if not newline:
            return False
        self._ports = json.loads(first)
        return True

    async def received(self) -> Sequence[Received]:
        """Return every request that the sample has answered so far."""
        control = f"http://{ports.HOST}:{self._ports['control_port']}/requests"
        shown = await self._client.get(control, params={"after": len(self._received)})
        self._received += [_received(item) for item in shown.json()]
        return self._received

    async def arrived(
        self, count: int = 1, *, within_s: float = ARRIVES_WITHIN_S
    ) -> Sequence[Received]:
        """Wait until the sample has answered ``count`` requests, and return all of them."""
        return await until(
            self.received,
            lambda received: len(received) >= count,
            what=f"{count} requests at {self.name}",
            within_s=within_s,
        )

    async def stop(self, *, grace_s: float | None = None) -> None:
        """End the program."""
        await self._client.aclose()
        await super().stop(grace_s=grace_s)


def qr3_sample(*, logs_dir: Path, secret: str) -> Sample:
    """Return QR3's Express sample."""
    return Sample(
        ["node", str(SAMPLES_DIR / "qr3.mjs")],
        "/webhooks/qr3",
        logs_dir=logs_dir,
        env={"QR3_WEBHOOK_SECRET": secret},
    )


def xqr_sample(*, logs_dir: Path, secret: str, port: int = 0) -> Sample:
    """Return XQR's Express sample. Its guide wants the address first, so ``port`` may be given."""
    return Sample(
        ["node", str(SAMPLES_DIR / "xqr.mjs"), str(port)],
        "/webhooks/xqr",
        logs_dir=logs_dir,
        env={"XQR_WEBHOOK_SECRET": secret},
    )


def python_sample(*, logs_dir: Path, secret: str) -> Sample:
    """Return the Python sample of QR3's guide."""
    return Sample(
        [sys.executable, str(SAMPLES_DIR / "python_sample.py")],
        "/webhooks/qr3",
        logs_dir=logs_dir,
        env={"QR3_WEBHOOK_SECRET": secret},
    )


@asynccontextmanager
async def running(sample: Sample) -> AsyncIterator[Sample]:
    """Run a sample for the length of the block."""
    await sample.start()
    try:
        yield sample
    finally:
        await sample.stop()


def _received(item: Mapping[str, Any]) -> Received:
    """Return what a sample noted of a request; its headers are a flat list."""
    names, values = item["headers"][::2], item["headers"][1::2]
    return Received(
        path=item["path"],
        headers={name.lower(): value for name, value in zip(names, values, strict=True)},
        body=base64.b64decode(item["body"]),
        status=item["status"],
        arrived_s=item["arrived_ms"] / 1000,
    )
