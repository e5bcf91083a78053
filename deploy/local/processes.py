"""One child process: started, watched, stopped in time, and never left behind.

A `Child` runs in a session of its own, so a Ctrl-C in the terminal reaches only the supervisor,
which then stops its children in order. It is tethered (`tether.py`): on Linux it dies with its
parent even if that is killed with SIGKILL. Whatever a child leaves in its session is killed when
it ends. What it prints goes to `<logs_dir>/<name>.log`.

Start children from the main thread: Linux ties a tethered process to the thread that started it.
The methods may be called from different event loops, one after the other, as test fixtures do.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from deploy.local.errors import LocalError

TETHER = Path(__file__).with_name("tether.py")
LOG_BYTES_MAX = 8 * 1024 * 1024  # a longer log is set aside when its process starts
READY_POLL_S = 0.03
_TAIL_BYTES = 16 * 1024


class Child:
    """A program under our care. Subclasses say how to prepare it and when it is ready."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path] = (),
        *,
        logs_dir: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ready_within_s: float = 60,
        grace_s: float = 10,
    ) -> None:
        self.name = name
        self.log_path = logs_dir / f"{name}.log"
        self._argv = tuple(map(str, argv))
        self._env = None if env is None else dict(env)
        self._cwd = cwd
        self._ready_within_s = ready_within_s
        self._grace_s = grace_s
        self._pid: int | None = None
        self._exit: Future[int] | None = None

    async def prepare(self) -> Sequence[str]:
        """Do what has to be done before each start, and return the command line."""
        return self._argv

    async def is_ready(self) -> bool:
        """Tell whether the running program can be used; `start()` asks until it can."""
        return True

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        return self._pid if self.is_running else None

    @property
    def is_running(self) -> bool:
        """Whether the process has been started and has not ended."""
        return self._exit is not None and not self._exit.done()

    async def start(self) -> None:
        """Start the program and return when it is ready.

        Raises `LocalError`, with the last line of its log, if it ends or is not ready in time; then
        it does not run.
        """
        argv = await self.prepare()
        self._spawn(argv)
        try:
            async with asyncio.timeout(self._ready_within_s):
                while not await self.is_ready():
                    self._require_running()
                    await asyncio.sleep(READY_POLL_S)
            self._require_running()
        except TimeoutError:
            await self.kill9()
            raise LocalError(
                f"{self.name} was not ready within {self._ready_within_s:g} s ({self.last_words()})"
            ) from None
        except BaseException:
            await self.kill9()
            raise

    async def run(self) -> int | None:
        """Run a program that ends by itself; return its exit code. It is killed if we are."""
        self._spawn(await self.prepare())
        try:
            return await self.wait()
        finally:
            await self.kill9()

    async def stop(self, *, grace_s: float | None = None) -> None:
        """End the program: SIGTERM, and SIGKILL for what is left after `grace_s` seconds."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace_s if grace_s is None else grace_s):
                await self.wait()
        await self.kill9()

    async def kill9(self) -> None:
        """Kill the program with SIGKILL, as a crash would, and return when it is gone."""
        self._signal(signal.SIGKILL)
        await self.wait()

    async def wait(self) -> int | None:
        """Return when the program has ended, with its exit code (-N: ended by signal N).

        None at once if it was never started.
        """
        if self._exit is None:
            return None
        return await asyncio.shield(asyncio.wrap_future(self._exit))

    def last_words(self) -> str:
        """Return the last line of the log that is not a stack frame, and where the log is."""
        lines = [line for line in self.tail(100) if line.strip() and not line[0].isspace()]
        return f"{lines[-1] if lines else 'it said nothing'}; log: {self.log_path}"

    def tail(self, lines: int = 20) -> list[str]:
        """Return the last lines of the log."""
        with contextlib.suppress(FileNotFoundError), self.log_path.open("rb") as log:
            log.seek(-min(_TAIL_BYTES, log.seek(0, os.SEEK_END)), os.SEEK_END)
            return log.read().decode(errors="replace").splitlines()[-lines:]
        return []

    def _spawn(self, argv: Sequence[str]) -> None:
        if self.is_running:
            raise RuntimeError(f"{self.name} runs already")
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES_MAX:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        with self.log_path.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )
        self._pid = process.pid
        self._exit = Future()
        threading.Thread(
            target=_reap, args=(process, self._exit), name=f"reap-{self.name}", daemon=True
        ).start()

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _require_running(self) -> None:
        if self._exit is not None and self._exit.done():
            code = self._exit.result()
            raise LocalError(f"{self.name} ended with code {code} ({self.last_words()})")


def _reap(process: subprocess.Popen[bytes], ended: Future[int]) -> None:
    code = process.wait()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # what it left in its session
    ended.set_result(code)
