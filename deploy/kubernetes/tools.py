"""The programs and resource definitions that prove the manifests, from pinned Go modules.

`gate()` gives kustomize and kube-score; `cluster()` a whole control plane (etcd, API server,
controller manager, scheduler, kubectl) with KWOK in the place of nodes, five minutes of two cores.
Both build once into the user's cache, in a folder named by what is built: another version has
another folder, and who finds the folder finds it complete. `definitions()` gives the files that
define the kinds which are not Kubernetes' own.

Go checks what it fetches against its checksum database; the control plane's modules are locked in
`.ci/kubernetes` besides. `python -m deploy.kubernetes.tools cluster` builds ahead of the tests.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from deploy.local.cache import default_dir, workshop

ROOT: Final = Path(__file__).resolve().parents[2]
LOCK: Final = ROOT / ".ci/kubernetes"
KUBERNETES: Final = "1.36.3"
KWOK: Final = "v0.8.0"

GATE: Final = (
    "sigs.k8s.io/kustomize/kustomize/v5@v5.8.1",
    "github.com/zegl/kube-score/cmd/kube-score@v1.20.0",
)
CONTROL_PLANE: Final = (
    "k8s.io/kubernetes/cmd/kube-apiserver",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
    "k8s.io/kubernetes/cmd/kube-scheduler",
    "k8s.io/kubernetes/cmd/kubectl",
    "go.etcd.io/etcd/server/v3",
)
_SERVER: Final = "server"  # what Go names etcd's program


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


def cluster() -> Path:
    """Return the folder of the control plane and `kwok` with its `stages.yaml`, made if needed."""
    locked = "".join((LOCK / name).read_text(encoding="utf-8") for name in ("go.mod", "go.sum"))
    return _made(f"kube-{KUBERNETES}", locked + KWOK, _build_cluster)


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


def _build_cluster(folder: Path) -> None:
    folder.mkdir()
    minor = KUBERNETES.split(".")[1]
    stamp = {"gitVersion": f"v{KUBERNETES}", "gitMajor": "1", "gitMinor": minor}
    named = " ".join(f"-X k8s.io/component-base/version.{k}={v}" for k, v in stamp.items())
    flags = ["-trimpath", "-ldflags", f"-s -w {named}"]
    _go(["build", "-C", str(LOCK), *flags, "-o", f"{folder}/", *CONTROL_PLANE], {})
    (folder / _SERVER).rename(folder / "etcd")
    kwok = f"sigs.k8s.io/kwok/cmd/kwok@{KWOK}"
    _go(["install", "-trimpath", kwok], {"GOBIN": str(folder)})
    (folder / "stages.yaml").write_text(_stages(), encoding="utf-8")


def _stages() -> str:
    """Return what KWOK does with nodes and pods: all goes well, at once."""
    stages = _download("sigs.k8s.io/kwok", KWOK) / "kustomize/stage"
    files = [
        *sorted((stages / "node/fast").glob("node-*.yaml")),
        *sorted((stages / "node/heartbeat").glob("node-*.yaml")),
        *sorted((stages / "pod/fast").glob("pod-*.yaml")),
    ]
    return "\n---\n".join(path.read_text(encoding="utf-8") for path in files)


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
        ["go", *arguments], cwd=LOCK, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise ToolError(f"go {' '.join(arguments[:2])}: {result.stderr.strip()[-2_000:]}")
    return result.stdout


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and Go with it
    sys.stdout.write(f"{ {'gate': gate, 'cluster': cluster}[sys.argv[1]]() }\n")
