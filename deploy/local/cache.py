"""The user's cache folder: what is fetched or made once, for all checkouts and test runs."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


def default_dir() -> Path:
    """Return the cache folder (XDG Base Directory specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hooklane"


@contextlib.contextmanager
def workshop(cache_dir: Path) -> Iterator[Path]:
    """Give an empty folder to make something in, on the cache's file system, to one at a time.

    Waits while another process is inside: look again then, it may have made the same thing. Move
    what is finished into the cache with a rename; the rest is removed, by the next visitor if this
    process is killed.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    folder = cache_dir / "workshop"
    with (cache_dir / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
