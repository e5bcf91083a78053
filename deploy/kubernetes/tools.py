"""The programs and resource definitions that judge the manifests, from pinned Go modules.

`gate()` gives kustomize and kube-score. They are built once, into a folder of the user's cache that
is named by what is built: another version has another folder, and who finds the folder finds it
complete. `definitions()` gives the files that define the kinds which are not Kubernetes' own.

Go checks what it fetches against its checksum database.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from deploy.local.cache import default_dir, workshop

ROOT: Final = Path(__file__).resolve().parents[2]

GATE: Final = (
    "sigs.k8s.io/kustomize/kustomize/v5@v5.8.1",
    "github.com/zegl/kube-score/cmd/kube-score@v1.20.0",
)


class Source(NamedTuple):
    """A Go module that carries definitions: its version, its checksum, and the files in it."""

    module: str
    version: str
    checksum: str
    files: tuple[str, ...]


SOURCES: Final = (
    Source(
        "github.com/kedacore/keda/v2",
        "v2.21.0",
        "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
        ("config/crd/bases/keda.sh_scaledobjects.yaml",),
    ),
    Source(
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        (
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        ),
    ),
    Source(
        "github.com/mongodb/mongodb-kubernetes-operator",
        "v0.9.0",
        "h1:1SBmpQznWVbUgzi+ScNCNv6z5pLBwsSe4DUDKxHzFwc=",
        ("config/crd/bases/mongodbcommunity.mongodb.com_mongodbcommunity.yaml",),
    ),
    Source(
        "sigs.k8s.io/gateway-api",
        "v1.5.1",
        "h1:RqVRIlkhLhUO8wOHKTLnTJA6o/1un4po4/6M1nRzdd0=",
        ("config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",),
    ),
)
OWN_DEFINITIONS: Final = (ROOT / "deploy/kubernetes/definitions/kafkatopic.yaml",)


class ToolError(Exception):
    """A tool cannot be built or a file is not what was pinned; the message says which and why."""


def gate() -> Path:
    """Return the folder of kustomize and kube-score, made if it is not there."""
    return _made("gate", "\n".join(GATE), _install_gate)


def definitions() -> list[Path]:
    """Return the files that define the kinds which the components use."""
    files = [_module(source) / name for source in SOURCES for name in source.files]
    return [*files, *OWN_DEFINITIONS]


def _made(name: str, contents: str, make: Any) -> Path:
    """Return the cache's folder for these contents; ``make`` fills it when it is not there."""
    digest = hashlib.sha256(contents.encode()).hexdigest()[:12]
    cache = default_dir().with_name("hooklane-ci") / name
    folder = cache / digest
    if not folder.exists():
        with workshop(cache) as partial:
            if not folder.exists():  # another process may have made it while this one waited
                make(partial / digest)
                (partial / digest).rename(folder)
    return folder


def _install_gate(folder: Path) -> None:
    for package in GATE:
        _go(["install", "-trimpath", package], {"GOBIN": str(folder)})


def _module(source: Source) -> Path:
    return _download(source.module, source.version, source.checksum)


def _download(module: str, version: str, checksum: str | None = None) -> Path:
    """Return where Go keeps a module; raises ToolError if it is not the one that was pinned."""
    found = json.loads(_go(["mod", "download", "-json", f"{module}@{version}"], {}))
    if checksum not in (None, found["Sum"]):
        raise ToolError(f"{module}@{version} has the checksum {found['Sum']}, not {checksum}")
    return Path(found["Dir"])


def _go(arguments: list[str], more: Mapping[str, str]) -> str:
    """Run Go and return what it prints; raises ToolError with its errors."""
    # The compiler's own memory is collected seldom: a third less work.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOGC": "400", **more}
    result = subprocess.run(
        ["go", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise ToolError(f"go {' '.join(arguments[:2])}: {result.stderr.strip()[-2_000:]}")
    return result.stdout
