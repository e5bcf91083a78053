"""Images made from the Dockerfile by buildah, and programs in them, without a container engine.

Where no registry is, the base's place is taken by a root of Debian and Python that mmdebstrap makes
once; as in the true base, Python's own library comes without compiled files. A program runs in the
image's root as in a container of the Compose file: read-only but for an empty ``/tmp``, as the
image's user, with no variable but those of image and Compose file. The network is the machine's.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.architecture.repository import ROOT

NEEDS: Final = ("buildah", "mmdebstrap", "unshare", "go")
"""Programs that this folder's tests need, besides being root."""

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hooklane-ci"
KEPT_MB_MAX: Final = 6_000
"""How large what is kept may become; one state of all images is about 1,200."""

SUITE: Final = "bookworm"
PACKAGES: Final = "ca-certificates,netbase,python3,python3-pip,python3-venv,tzdata"
CUSTOMISE: Final = (
    'ln -s /usr/bin/python3 "$1/usr/local/bin/python"',
    'find "$1/usr/lib/python3" "$1/usr/lib/python3.11" -name __pycache__ -prune -exec rm -rf {} +',
)
INSTALLERS: Final = ("/etc/ssl/certs", "/etc/pip.conf")
"""What this machine's pip is told about its package index; lent to the builds."""

CONFINED: Final = """
root=$0 user=$1 folder=$2 && shift 2 && cd / && mount --bind "$root" "$root" &&
mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" &&
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp" && mount -o remount,bind,ro "$root" &&
exec chroot --userspec="$user" --groups= "$root" /usr/bin/env -i -C "$folder" "$@"
"""
"""Becomes a program in a root, as a user, in a folder; then follow variables and the command."""


class Image(NamedTuple):
    """An image of a service: where its root is mounted, and its configuration as Docker has it."""

    root: Path
    config: Mapping[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that the image sets."""
        return dict(line.split("=", 1) for line in self.config["Env"])

    def command(self, environment: Mapping[str, str], *program: str) -> list[str]:
        """Return a command line that becomes ``program`` in the image."""
        variables = {**self.environment, **environment}
        place = (str(self.root), self.config["User"], self.config["WorkingDir"])
        pairs = (f"{name}={value}" for name, value in variables.items())
        return ["unshare", "--mount", "sh", "-c", CONFINED, *place, *pairs, *program]


class Builder:
    """Buildah with a storage of its own, which keeps what has not changed from run to run."""

    def __init__(self, cache: Path) -> None:
        self._buildah = (
            "buildah",
            *("--root", str(cache / "images"), "--runroot", str(cache / "images-run")),
            *("--storage-driver", "overlay"),
        )
        self._cache = cache

    def base(self) -> str:
        """Return the name of the base's stand-in, which is made if there is none."""
        recipe = json.dumps([SUITE, PACKAGES, CUSTOMISE])
        name = f"localhost/hooklane-base:{sha256(recipe.encode()).hexdigest()[:12]}"
        if not self._run("images", "--quiet", "--filter", f"reference={name}"):
            archive = self._cache / "base.tar"
            hooks = [f"--customize-hook={line}" for line in CUSTOMISE]
            _run(
                *("mmdebstrap", "--quiet", "--variant=apt", f"--include={PACKAGES}", *hooks),
                *("--dpkgopt=path-exclude=/usr/share/doc/*", SUITE, str(archive)),
            )
            container = self._run("from", "scratch")
            self._run("add", "--quiet", container, str(archive), "/")
            self._run("commit", "--quiet", "--rm", container, name)
            archive.unlink()
        return name

    def build(self, service: str, context: Path = ROOT, **arguments: str) -> Image:
        """Build a service's image from the Dockerfile of ``context`` and mount it."""
        tag = f"localhost/hooklane-{service}"
        given = {"BASE": self.base(), "DIGEST": "", "SERVICE": service, **arguments}
        lent = [f"--volume={path}:{path}:ro" for path in INSTALLERS if Path(path).exists()]
        self._run(
            *("build", "--quiet", "--format=docker", "--isolation=chroot", "--network=host"),
            *("--layers", "--pull=false", *lent, f"--tag={tag}"),
            *(f"--build-arg={name}={value}" for name, value in given.items()),
            str(context),
        )
        container = self._run("from", "--pull=false", tag)
        described = json.loads(self._run("inspect", "--type=container", container))
        return Image(Path(self._run("mount", container)), described["Docker"]["config"])

    def forget_containers(self) -> None:
        """Unmount and remove what runs made."""
        self._run("rm", "--all")

    def tidy_up(self) -> None:
        """Remove what a run that was killed left behind, and old states when they have piled up."""
        self.forget_containers()
        kept_mb = int(_run("du", "-sm", str(self._cache / "images")).partition("\t")[0])
        if kept_mb > KEPT_MB_MAX:
            self._run("rmi", "--all", "--force")

    def _run(self, *arguments: str) -> str:
        return _run(*self._buildah, *arguments)


@contextmanager
def open_builder() -> Iterator[Builder]:
    """Return a builder; there is one at a time on a machine, as they share what is kept."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        builder = Builder(CACHE)
        builder.tidy_up()
        try:
            yield builder
        finally:
            builder.forget_containers()


def rendered(env_file: Path, *profiles: str) -> dict[str, Any]:
    """Return the Compose file's services as Docker Compose itself understands them."""
    compose = _run(str(ROOT / ".ci/go-tool"), "compose")
    asked = [f"--profile={profile}" for profile in profiles]
    printed = _run(
        *(compose, f"--project-directory={ROOT}", f"--env-file={env_file}", *asked),
        *("config", "--format=json"),
    )
    services: dict[str, Any] = json.loads(printed)["services"]
    return services


def _run(*command: str) -> str:
    """Run a program and return what it printed; raises AssertionError with its words."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr[-4000:]}"
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    """Return this process's environment without settings, which a build or Compose could take."""
    return {name: text for name, text in os.environ.items() if not name.startswith("HOOKLANE_")}
