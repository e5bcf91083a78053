"""`python -m deploy.local.prepare fetch|archive`: what would otherwise slow a start down.

`fetch` brings Kafka's jars, so that `make run` needs no network; part of `make setup`. `archive`
makes Java's start-up archive (`java.py`). That takes ten seconds, too long for a first start, so
it is part of `make setup-test`, and `later()` does it beside a stack that runs already.
Both are done once per user; repeating one does nothing.
"""

import asyncio
import signal
import sys
from pathlib import Path

from deploy.local import cache, jars, java
from deploy.local.errors import LocalError
from deploy.local.kafka import Kafka
from deploy.local.processes import Child

USAGE = "usage: python -m deploy.local.prepare fetch|archive"
ARCHIVE_WITHIN_S = 120


async def make_archive(archive: Path, cache_dir: Path, scratch: Path) -> None:
    """Run a broker once to learn what a start needs, and keep that as `archive`.

    `scratch` is on the same file system. Raises `LocalError` if Java makes none.
    """
    made = scratch / archive.name
    kafka = Kafka(
        scratch / "kafka",
        logs_dir=scratch,
        cache_dir=cache_dir,
        java_flags=[f"-XX:AOTCacheOutput={made}"],
    )
    try:
        await kafka.start()
        await kafka.stop(grace_s=ARCHIVE_WITHIN_S)  # Java writes the archive when it ends
    finally:
        await kafka.kill9()
    if not made.exists():
        raise LocalError(f"Java made no start-up archive ({kafka.last_words()})")
    made.replace(archive)


def later(logs_dir: Path) -> Child | None:
    """Return a child, not started yet, that makes the archive at the lowest priority.

    None if there is one already. The child ends by itself; ended early it leaves nothing behind.
    """
    if java.archive(cache.default_dir()).exists():
        return None
    command = ["nice", "-n", "19", sys.executable, "-m", "deploy.local.prepare", "archive"]
    return Child("prepare", command, logs_dir=logs_dir)


def main(arguments: list[str]) -> int:
    """Prepare the user's cache; returns the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it cleans up, too
    cache_dir = cache.default_dir()
    try:
        match arguments:
            case ["fetch"]:
                _fetch(cache_dir)
            case ["archive"]:
                _fetch(cache_dir)
                _archive(cache_dir)
            case _:
                print(USAGE, file=sys.stderr)
                return 2
    except LocalError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130  # as a shell says that SIGINT ended it
    return 0


def _fetch(cache_dir: Path) -> None:
    if not jars.is_complete(cache_dir):
        _say("fetching Kafka (44 MB, once)")
        jars.ensure(cache_dir)


def _archive(cache_dir: Path) -> None:
    archive = java.archive(cache_dir)
    if archive.exists():
        return
    with cache.workshop(cache_dir) as scratch:
        if not archive.exists():
            _say("teaching Java to start Kafka quickly (once)")
            asyncio.run(make_archive(archive, cache_dir, scratch))


def _say(line: str) -> None:
    print(f"hooklane: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
