"""Become another program, tied to the life of the process that started this one.

    python -I -S tether.py PARENT_PID PROGRAM [ARGUMENT...]

On Linux the kernel kills a tethered program the moment its parent is gone, however the parent
ended (prctl(2), PR_SET_PDEATHSIG); the setting survives the exec below. It is made here, in a
process of its own, and not in a `preexec_fn`: that runs Python between fork and exec, which may
deadlock in a parent that has threads. Elsewhere this only starts the program: there, a parent
killed with SIGKILL leaves its children behind.

Standalone on purpose: it imports nothing of ours, since it runs without a path to import from.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def _tether(parent_pid: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the line above could be heard
        sys.exit(f"cannot run {sys.argv[2]}: its parent {parent_pid} is gone")


def main() -> None:
    """Run the command line that the module's docstring gives; never returns."""
    _tether(int(sys.argv[1]))
    program = sys.argv[2:]
    try:
        os.execvp(program[0], program)  # noqa: S606 (no shell is wanted)
    except OSError as error:
        sys.exit(f"cannot run {program[0]}: {error}")


if __name__ == "__main__":
    main()
