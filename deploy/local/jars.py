"""Kafka's jars: which ones, where they come from, and proof that they are what was pinned.

`kafka-jars.lock` names every jar of the broker (Maven coordinate and SHA-256). `ensure()` brings
them into a cache folder with the help of `jgo`, a Maven client in pure Python, and returns Java's
class path. A jar enters the folder only by a rename, after its digest was checked, and a marker
written last holds the lock's digest. So an interrupted download repairs itself, two processes may
fetch at the same time, and another lock gets a folder of its own.

`python -m deploy.local.jars` resolves the coordinates below again and rewrites the lock. Each is
resolved alone: asked for both at once, jgo lets log4j's dependency management override Kafka's
versions, which puts kafka-clients 3.9.1 under a 4.3.1 broker.
"""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Self

from deploy.local.cache import workshop
from deploy.local.errors import LocalError

COORDINATES = (
    "org.apache.kafka:kafka_2.13:4.3.1",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",  # without a binding Kafka logs nothing
)
LOCK = Path(__file__).with_name("kafka-jars.lock")
MARKER = "complete"
DOWNLOADS_AT_ONCE = 4
REQUEST_TIMEOUT_S = 30


class Jar(NamedTuple):
    """One line of the lock: a Maven coordinate and the SHA-256 of its jar, in hex."""

    group: str
    artifact: str
    version: str
    sha256: str

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read `group:artifact:version sha256:<hex>`."""
        coordinate, digest = line.split()
        group, artifact, version = coordinate.split(":")
        return cls(group, artifact, version, digest.removeprefix("sha256:"))

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version} sha256:{self.sha256}"

    @property
    def file_name(self) -> str:
        """The jar's name in the cache folder, for example `kafka_2.13-4.3.1.jar`."""
        return f"{self.artifact}-{self.version}.jar"


def jars_dir(cache_dir: Path) -> Path:
    """Folder of the locked set of jars; another lock means another folder."""
    return cache_dir / f"kafka-{_lock_digest()[:12]}"


def read_lock() -> list[Jar]:
    """Return every jar of the broker, in class-path order."""
    return [Jar.parse(line) for line in LOCK.read_text().splitlines() if line]


def is_complete(cache_dir: Path) -> bool:
    """Tell whether every locked jar is there, so that `ensure()` needs no network."""
    folder = jars_dir(cache_dir)
    try:
        marked = (folder / MARKER).read_text()
    except OSError:
        return False
    files = [folder / jar.file_name for jar in read_lock()]
    return marked == _lock_digest() and all(file.exists() for file in files)


def ensure(cache_dir: Path) -> str:
    """Fetch what is missing and return Java's class path. Blocks: call it in a thread.

    Raises `LocalError` if the cache cannot be written, or if a jar cannot be had or is not the one
    that was locked.
    """
    folder = jars_dir(cache_dir)
    if not is_complete(cache_dir):
        try:
            with workshop(cache_dir) as partial:
                _fill(folder, partial)
        except OSError as error:  # the HTTP client's errors are of this kind, too
            raise LocalError(
                f"cannot fetch Kafka's jars into {folder}: {error}; it takes a network, once, and "
                "a cache folder that can be written (XDG_CACHE_HOME moves it)"
            ) from error
    return os.pathsep.join(str(folder / jar.file_name) for jar in read_lock())


def _fill(folder: Path, partial: Path) -> None:
    """Complete the folder: jars first, each checked, the marker last."""
    folder.mkdir(exist_ok=True)
    missing = [jar for jar in read_lock() if not _is_intact(folder / jar.file_name, jar)]
    for jar, path in zip(missing, _download(missing, partial), strict=True):
        if not _is_intact(path, jar):
            raise LocalError(f"{jar.file_name} came with another digest than {LOCK.name} has")
        path.replace(folder / jar.file_name)
    marker = partial / MARKER
    marker.write_text(_lock_digest())
    marker.replace(folder / MARKER)


def _download(wanted: Sequence[Jar], into: Path) -> list[Path]:
    """Fetch the jars' files from Maven's central repository, whatever they are.

    jgo knows where they are; its own download takes a new connection for each file and for each
    file's checksum, six times the work.
    """
    import requests  # noqa: PLC0415 (these two take a while, and only a first start downloads)
    from jgo.maven import MavenContext  # noqa: PLC0415

    maven = MavenContext(repo_cache=into)
    [repository] = maven.remote_repos.values()

    def fetch(jar: Jar) -> Path:
        component = maven.project(jar.group, jar.artifact).at_version(jar.version)
        url = f"{repository}/{component.path_prefix.as_posix()}/{jar.file_name}"
        answer = session.get(url, timeout=REQUEST_TIMEOUT_S)
        answer.raise_for_status()
        path = into / jar.file_name
        path.write_bytes(answer.content)
        return path

    with requests.Session() as session, ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        return list(pool.map(fetch, wanted))


def _is_intact(path: Path, jar: Jar) -> bool:
    return path.exists() and _sha256(path) == jar.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lock_digest() -> str:
    return hashlib.sha256(LOCK.read_bytes()).hexdigest()


def relock(coordinates: Sequence[str] = COORDINATES) -> None:
    """Resolve the coordinates and rewrite the lock; what an earlier one brought wins."""
    from jgo.maven import MavenContext  # noqa: PLC0415

    found: dict[tuple[str, str], Jar] = {}
    with tempfile.TemporaryDirectory() as folder:
        maven = MavenContext(repo_cache=Path(folder))
        for coordinate in coordinates:
            inputs, transitive = maven.resolver.resolve([maven.create_dependency(coordinate)])
            for each in (*inputs, *transitive):
                jar = Jar(each.groupId, each.artifactId, each.version, sha256="")
                found.setdefault((jar.group, jar.artifact), jar)
        jars = sorted(found.values())
        locked = [
            jar._replace(sha256=_sha256(path))
            for jar, path in zip(jars, _download(jars, Path(folder)), strict=True)
        ]
    LOCK.write_text("".join(f"{jar}\n" for jar in locked))


if __name__ == "__main__":
    relock()
