"""Which Hooklane this is: the version, named here and nowhere else, and what a process says of it.

``pyproject.toml`` takes the version from here; it ends in ``.dev0`` between two releases, and
``docs/releasing.md`` says when it changes. It is not read from the metadata of an installed
distribution, because the images hold the packages' files and none.
"""

from __future__ import annotations

import platform

import msgspec

VERSION = "0.1.0.dev0"


class About(msgspec.Struct, frozen=True):
    """What a process is. ``revision`` is the source's, None where nobody said at its build."""

    name: str
    version: str
    revision: str | None
    python: str


def about(service: str, revision: str) -> About:
    """Return what a process of ``service`` is; ``revision`` may be empty."""
    return About(f"hooklane-{service}", VERSION, revision or None, platform.python_version())
