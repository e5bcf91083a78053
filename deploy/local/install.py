"""Make `.venv` and install one of the locked requirement files into it.

    python3 deploy/local/install.py run|test

Runs before there is an environment, so it uses the standard library only and imports nothing of
ours. The packages are installed with uv, itself from a locked requirement: six seconds where pip
takes a minute. uv is told what pip was told about indexes, certificates and proxies; where it
cannot work all the same, pip does it, from the same file with the same hashes.
"""

import ast
import importlib.util
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
VENV = ROOT / ".venv"
PIP = (str(VENV / "bin" / "python"), "-m", "pip")
UV = (str(VENV / "bin" / "uv"), "pip", "install", "--python", PIP[0])
LOCKED = ("--require-hashes", "--no-deps", "--quiet", "-r")

UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}


def uv_environment(pip_config: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` with what `pip config list` printed, in uv's names; what is set there wins.

    pip prints `SECTION.OPTION='VALUE'` lines; several values of an option are divided by newlines.
    """
    told: dict[str, str] = {}
    for line in pip_config.splitlines():
        key, _, value = line.partition("=")
        name = UV_NAMES.get(key.rpartition(".")[2])
        if name is not None:
            told[name] = " ".join(ast.literal_eval(value).split())
    return {**told, **environ}


def make_venv() -> None:
    """Make the environment unless a working one is there."""
    works = Path(PIP[0]).exists() and _run([*PIP, "--version"]).returncode == 0
    if not works:
        venv.create(VENV, clear=True, symlinks=True, with_pip=True)


def install(requirements: Path) -> None:
    """Install a locked file, every download checked against its hash."""
    pip = [*PIP, "install", "--disable-pip-version-check", *LOCKED]
    outcome = _run([*pip, str(REQUIREMENTS / "uv.txt")])
    if outcome.returncode == 0:
        told = _run([*PIP, "config", "list"]).stdout
        outcome = _run([*UV, *LOCKED, str(requirements)], uv_environment(told, os.environ))
    if outcome.returncode != 0:
        print(
            f"uv could not ({outcome.stderr.strip()}); trying with pip", file=sys.stderr, flush=True
        )
        subprocess.run([*pip, str(requirements)], check=True)


def _run(
    command: list[str], environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def main(arguments: list[str]) -> int:
    """Install what the command line names; returns the exit code."""
    match arguments:
        case ["run" | "test" as name]:
            requirements = REQUIREMENTS / f"{name}.txt"
        case _:
            print("usage: python3 deploy/local/install.py run|test", file=sys.stderr)
            return 2
    print(f"installing {requirements.relative_to(ROOT)} into .venv", file=sys.stderr, flush=True)
    if importlib.util.find_spec("ensurepip") is None:  # Debian keeps it in a package of its own
        print("this Python cannot make .venv: install python3-venv", file=sys.stderr)
        return 1
    make_venv()
    try:
        install(requirements)
    except subprocess.CalledProcessError as error:
        return error.returncode  # pip has said why
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
