"""The state folder of one local stack: made, checked and held by one process at a time."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from deploy.local.errors import LocalError

LOCK_NAME = "lock"


@contextlib.contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Make the folder if need be, for its owner's eyes only, and hold it until the block ends.

    The lock is the kernel's (flock(2)), so it ends with the process however that ends. Raises
    `LocalError` if the folder cannot be written or another process holds it.
    """
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (state_dir / LOCK_NAME).open("ab")
    except OSError as error:
        raise LocalError(
            f"the state folder cannot be used ({error}): make it writable, or set "
            "HOOKLANE_STATE_DIR to another one"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LocalError(
                f"another Hooklane runs on {state_dir}: stop it, or set HOOKLANE_STATE_DIR to "
                "another folder"
            ) from error
        yield
