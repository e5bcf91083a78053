"""Looking inside a process that runs: SIGUSR1 writes its stacks, SIGUSR2 a profile.

Signals, and no route: whoever may send one could end the process as well, so nobody gets to see
more than before. A thread of its own waits for them, so that it also works when the main loop does
not move, which is when somebody wants to look. Between two looks it costs nothing.

* SIGUSR1: the stacks of all threads, and what the loop's tasks wait for, in the log (``stacks``).
* SIGUSR2: for ``PROFILE_S``, or until it comes again, the stacks are looked at a hundred times a
  second. The log says where most of the time went (``profile_written``), and names a file with all
  of it, in the folded form that flame graphs are made of (speedscope.app, flamegraph.pl).

``block`` must run before any thread is started: signals go to a thread that does not block them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import structlog

STACKS: Final = signal.SIGUSR1
PROFILE: Final = signal.SIGUSR2
PROFILE_S: Final = 10.0
SAMPLE_EVERY_S: Final = 0.01
TASKS_SHOWN_MAX: Final = 50
HOTTEST_SHOWN: Final = 20
_LOOK_EVERY_S: Final = 3_600.0  # a signal ends the wait at once

_log = structlog.get_logger("inspection")


def block() -> None:
    """Keep both signals from ending the process; they wait for the inspector."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (STACKS, PROFILE))


class Inspector:
    """Waits for the signals, for as long as the process lives."""

    def __init__(self, service: str, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop
        self._thread = threading.Thread(target=self._run, name="inspector", daemon=True)

    def start(self) -> None:
        """Begin to wait."""
        self._thread.start()

    def _run(self) -> None:
        while True:
            number = _signalled(_LOOK_EVERY_S)
            if number == STACKS:
                self._write_stacks()
            elif number == PROFILE:
                self._profile()

    def _write_stacks(self) -> None:
        _log.info("stacks", stacks=stacks(), tasks=list(waiting(asyncio.all_tasks(self._loop))))

    def _profile(self) -> None:
        """Sample, and write what was seen."""
        _log.info("profile_begun", seconds=PROFILE_S)
        folded: Counter[str] = Counter()
        hottest: Counter[str] = Counter()
        end_s = time.monotonic() + PROFILE_S
        while time.monotonic() < end_s:
            number = _signalled(SAMPLE_EVERY_S)
            if number == STACKS:
                self._write_stacks()
            elif number == PROFILE:
                break
            for name, frame in _frames():
                if name != self._thread.name:
                    path = list(_path(frame))
                    folded[";".join((name, *path))] += 1
                    hottest[path[-1]] += 1
        self._write_profile(folded, hottest)

    def _write_profile(self, folded: Counter[str], hottest: Counter[str]) -> None:
        shown = [f"{count} {place}" for place, count in hottest.most_common(HOTTEST_SHOWN)]
        try:
            handle, name = tempfile.mkstemp(f"-{os.getpid()}.folded", f"hooklane-{self._service}-")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.writelines(f"{path} {count}\n" for path, count in folded.items())
        except OSError as error:
            _log.warning("profile_not_written", error=str(error), hottest=shown)
        else:
            _log.info("profile_written", path=name, hottest=shown)


def stacks() -> str:
    """Return the stacks of all threads, as people read them."""
    return "\n".join(
        f"-- {name}\n{''.join(traceback.format_stack(frame))}" for name, frame in _frames()
    )


def waiting(tasks: Iterable[asyncio.Task[Any]]) -> Iterator[str]:
    """Yield what tasks wait for and how many do, the most frequent first."""
    places = Counter(_place_of(task) for task in tasks)
    for place, count in places.most_common(TASKS_SHOWN_MAX):
        yield f"{count} {place}"


def _signalled(timeout_s: float) -> signal.Signals | None:
    """Return the signal that came within this time."""
    found = signal.sigtimedwait((STACKS, PROFILE), timeout_s)
    return None if found is None else signal.Signals(found.si_signo)


def _frames() -> list[tuple[str, FrameType]]:
    """Return where each thread is, by its name."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return [(names.get(ident, str(ident)), frame) for ident, frame in sys._current_frames().items()]


def _path(frame: FrameType) -> Iterator[str]:
    """Yield the functions of a stack, the outermost first."""
    codes = []
    at: FrameType | None = frame
    while at is not None:
        codes.append(at.f_code)
        at = at.f_back
    return map(_place, reversed(codes))


def _place(code: CodeType) -> str:
    return f"{code.co_qualname} ({Path(code.co_filename).name}:{code.co_firstlineno})"


def _place_of(task: asyncio.Task[Any]) -> str:
    """Return a task's coroutine, and the line at which it waits."""
    coroutine = task.get_coro()
    name = getattr(coroutine, "__qualname__", repr(coroutine))
    frames = task.get_stack(limit=1)
    return f"{name} line {frames[-1].f_lineno}" if frames else name
