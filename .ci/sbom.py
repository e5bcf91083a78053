"""What is inside each image, as CycloneDX: ``.ci/sbom.py FOLDER`` writes a document for each.

The packages are those of the service's lock that an image installs: what the lock has for other
platforms and versions of Python is left out. Each document is validated against the schema of its
version and compared with the lock. Needs the tools of ``.ci/requirements.txt``: see ``make sbom``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement

ROOT: Final = Path(__file__).resolve().parents[1]
SERVICES: Final = ("gateway", "fanout", "delivery", "retry", "recorder")
SCHEMA: Final = SchemaVersion.V1_6
LINUX: Final = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "sys_platform": "linux",
}
_PIN: Final = re.compile(r"^\S+==[^\\]+(?:\\\n +--hash=\S+ ?)+", re.MULTILINE)


def image_python() -> str:
    """Return the version of the Python that the images have."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (version,) = re.findall(r"^ARG BASE=python:([\d.]+)-", text, re.MULTILINE)
    return str(version)


def installed(lock: str, python: str) -> dict[str, str]:
    """Return what an image installs from a lock: package and version, with its lines there."""
    minor = ".".join(python.split(".")[:2])
    environment = {**LINUX, "python_version": minor, "python_full_version": python}
    found = {}
    for lines in _PIN.findall(lock):
        requirement = Requirement(lines.partition("\\")[0])
        if requirement.marker is None or requirement.marker.evaluate(environment):
            found[f"{requirement.name}{requirement.specifier}"] = lines
    return found


def write(service: str, folder: Path) -> str:
    """Write a service's document; returns a line about it, raises ValueError for what is wrong."""
    lock = (ROOT / f"requirements/{service}.txt").read_text(encoding="utf-8")
    pins = installed(lock, image_python())
    path = folder / f"hooklane-{service}.cdx.json"
    with tempfile.TemporaryDirectory() as scratch:
        described = Path(scratch) / "pyproject.toml"
        described.write_text(_described(service), encoding="utf-8")
        made = subprocess.run(
            [
                *(sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements"),
                *("--spec-version", SCHEMA.to_version(), "--output-reproducible", "--no-validate"),
                *("--pyproject", str(described), "--output-file", str(path), "-"),
            ],
            input="\n".join(pins.values()),
            capture_output=True,
            text=True,
            check=False,
        )
    if made.returncode:
        raise ValueError(f"no document for {service}: {made.stderr}")
    text = path.read_text(encoding="utf-8")
    error = JsonStrictValidator(SCHEMA).validate_str(text)
    if error is not None:
        raise ValueError(f"{path.name} is not valid: {error}")
    names = {f"{part['name']}=={part['version']}" for part in json.loads(text)["components"]}
    if names != set(pins):
        raise ValueError(f"{path.name} is not the lock: {sorted(names ^ set(pins))}")
    return f"{path}: {len(names)} packages"


def _version() -> str:
    """Return the version of the code, which is named in one place only."""
    text = (ROOT / "shared/version.py").read_text(encoding="utf-8")
    (version,) = re.findall(r'^VERSION = "(.+)"$', text, re.MULTILINE)
    return str(version)


def _described(service: str) -> str:
    """Return a project file for the component that the document is about: the image's program."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    fields = {
        "name": f"hooklane-{service}",
        "version": _version(),
        "description": f"Hooklane, webhook delivery on Kafka: {service}",
        "license": project["license"],
    }
    return "[project]\n" + "".join(f"{key} = {json.dumps(text)}\n" for key, text in fields.items())


def main() -> None:
    """Write all documents into the folder that is named."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for service in SERVICES:
        print(write(service, folder))


if __name__ == "__main__":
    main()
