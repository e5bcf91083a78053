"""Whether the Kubernetes manifests are valid documents of their kind.

Each document is validated strictly against the API's schema: a misspelt field is an error. The
overlays are rendered first where ``kubectl`` is at hand; without it their references are checked.
Prints one line for each document and exits with 1 when one is not valid.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[1]
KUBERNETES = "1.34"


def documents(text: str) -> Iterator[Any]:
    """Yield the documents of a YAML text."""
    return (document for document in yaml.safe_load_all(text) if document is not None)


def kubernetes(name: object, text: str) -> None:
    """Check every document of a manifest; raises ValueError with the reason."""
    for document in documents(text):
        title = f"{document['kind']} {document['metadata']['name']}"
        try:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise ValueError(f"{name}: {title}: {error.message}") from error
        print(f"ok  {name}: {title}")


def kustomization(folder: Path) -> None:
    """Check that a kustomization finds its resources, and render it where that is possible."""
    content = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    missing = [name for name in content["resources"] if not (folder / name).exists()]
    if missing:
        raise ValueError(f"{folder}: resources that do not exist: {', '.join(missing)}")
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        print(f"ok  {folder.relative_to(ROOT)}: references (no kubectl here to render it)")
        return
    command = [kubectl, "kustomize", str(folder)]
    rendered = subprocess.run(command, capture_output=True, text=True, check=False)
    if rendered.returncode:
        raise ValueError(f"{folder}: {rendered.stderr.strip()}")
    kubernetes(f"{folder.relative_to(ROOT)} as rendered", rendered.stdout)


def main() -> int:
    """Check everything; returns the exit code."""
    failures = [failure for check in _checks() if (failure := _failure_of(check))]
    for failure in failures:
        print(f"NOT OK  {failure}")
    return int(bool(failures))


def _checks() -> Iterator[Callable[[], None]]:
    for folder in [ROOT / "deploy/base", *sorted((ROOT / "deploy/overlays").iterdir())]:
        yield partial(kustomization, folder)
        for path in sorted(folder.glob("*.yaml")):
            if path.name != "kustomization.yaml":
                yield partial(kubernetes, path.relative_to(ROOT), path.read_text("utf-8"))


def _failure_of(check: Callable[[], None]) -> str:
    try:
        check()
    except (OSError, ValueError, yaml.YAMLError) as error:
        return str(error)
    return ""


if __name__ == "__main__":
    sys.exit(main())
