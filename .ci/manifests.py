"""Whether the Kubernetes manifests are valid documents of their kind.

Every overlay is built, and the base with each component alone; each document that comes
out is validated strictly (a misspelt field is an error): Kubernetes' own kinds against the schemas
of its three newest minor versions, the others against their own definitions. Then kube-score judges
the overlay for production. First of all each check has to refuse a document that is broken.

Prints one line for each check and exits with 1 when one fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deploy.kubernetes.tools import ToolError, definitions, gate  # noqa: E402

VERSIONS = kubernetes_validate.utils.all_versions()[-3:]
FREE = {"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}}
SCORE = ["score", "--output-format", "ci", "--ignore-container-cpu-limit"]
"""No limit of CPU: it would throttle a worker beside idle processors. Other exceptions are the
annotations ``kube-score/ignore``, with their reasons beside them."""

BROKEN = {
    "kind": "Service",
    "apiVersion": "v1",
    "metadata": {"name": "broken"},
    "spec": {"selectr": {}},
}
BROKEN_KINDS = {
    "keda.sh/v1alpha1/ScaledObject": {"scaleTargetRef": {"name": "x"}, "triggers": [], "max": 1},
    "kafka.strimzi.io/v1/KafkaTopic": {"partitions": 0},
    "gateway.networking.k8s.io/v1/HTTPRoute": {"rules": [{"timeouts": {"request": "soon"}}]},
    "monitoring.coreos.com/v1/ServiceMonitor": {"endpoints": []},
}


def documents(text: str) -> Iterator[Any]:
    """Yield the documents of a YAML text."""
    return (document for document in yaml.safe_load_all(text) if document is not None)


def kubernetes(name: object, text: str) -> None:
    """Check every document of a manifest; raises ValueError with the reason."""
    kinds: dict[str, int] = {}
    for document in documents(text):
        title = f"{document['kind']} {document['metadata']['name']}"
        try:
            _validate_once(json.dumps(document))
        except jsonschema.ValidationError as error:
            raise ValueError(f"{name}: {title}: {error.json_path}: {error.message}") from error
        kinds[document["kind"]] = kinds.get(document["kind"], 0) + 1
    print(f"ok  {name}: {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}")


@cache
def _validate_once(text: str) -> None:
    _validate(json.loads(text))  # the base comes out of every build again


def _validate(document: Any) -> None:
    defined = _defined().get(f"{document['apiVersion']}/{document['kind']}")
    if defined is not None:
        defined.validate(document)
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError as error:
            raise ValueError(f"{error.message}; deploy/kubernetes/tools.py has none") from error


@cache
def _defined() -> dict[str, jsonschema.Draft202012Validator]:
    """Return a validator for each kind that the definitions define, by version and kind."""
    validators = {}
    for path in definitions():
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
        for version in spec["versions"]:
            schema = _strict(version["schema"]["openAPIV3Schema"])
            schema["properties"] |= FREE
            name = f"{spec['group']}/{version['name']}/{spec['names']['kind']}"
            validators[name] = jsonschema.Draft202012Validator(schema)
    return validators


def _strict(schema: Any) -> Any:
    """Return a definition's schema as JSON schema that refuses unknown fields, as the server does.

    The server goes by extensions of its own: what may be a number or a text, and where a field's
    content is free.
    """
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict(part) for key, part in schema.items()}
    if isinstance(schema.get("properties"), dict):  # else it is a field that has this name
        made["properties"] = {name: _strict(part) for name, part in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string") is True:
        made.pop("type", None)
    if "(?i)" in str(schema.get("pattern")):  # Go takes it anywhere, Python at the start alone
        made.pop("pattern")
    if schema.get("nullable") is True and "type" in made:
        made["type"] = [made["type"], "null"]
    return made


def build(folder: Path) -> str:
    """Return what kustomize makes of a folder; raises ValueError with its error."""
    command = [str(gate() / "kustomize"), "build", str(folder)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        raise ValueError(f"{folder}: {built.stderr.strip()}")
    return built.stdout


def overlay(folder: Path) -> None:
    """Check an overlay, or the base."""
    kubernetes(folder.relative_to(ROOT), build(folder))


def component(folder: Path) -> None:
    """Check the base with one component alone: none needs another one."""
    with tempfile.TemporaryDirectory(dir=ROOT / ".cache") as place:
        content = {
            "kind": "Kustomization",
            "resources": [os.path.relpath(ROOT / "deploy/base", place)],
            "components": [os.path.relpath(folder, place)],
        }
        (Path(place) / "kustomization.yaml").write_text(json.dumps(content), encoding="utf-8")
        kubernetes(folder.relative_to(ROOT), build(Path(place)))


def score(folder: Path) -> None:
    """Let kube-score judge an overlay; raises ValueError with what it finds critical."""
    complaints = _complaints(build(folder))
    if complaints:
        raise ValueError("kube-score: " + "\n        ".join(complaints))
    print(f"ok  {folder.relative_to(ROOT)}: kube-score")


def _complaints(text: str) -> list[str]:
    command = [str(gate() / "kube-score"), *SCORE, "-"]
    judged = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    lines = judged.stdout.splitlines()
    found = [line for line in lines if line.startswith(("[CRITICAL]", "[WARNING]"))]
    if judged.returncode and not found:
        raise ValueError(f"kube-score: {judged.stderr.strip()}")
    return found


def refuse_what_is_broken() -> None:
    """Show that each check can fail; raises ValueError for one that does not."""
    broken = [BROKEN]
    for name, spec in BROKEN_KINDS.items():
        version, _, kind = name.rpartition("/")
        broken.append(
            {"apiVersion": version, "kind": kind, "metadata": {"name": "broken"}, "spec": spec}
        )
    for document in broken:
        try:
            _validate(document)
        except jsonschema.ValidationError:
            continue
        raise ValueError(f"a broken {document['kind']} is not refused")
    untagged = build(ROOT / "deploy/base")
    if not any("Image with latest tag" in line for line in _complaints(untagged)):
        raise ValueError("kube-score does not refuse images without a tag")
    print("ok  broken documents are refused")


def main() -> int:
    """Check everything; returns the exit code."""
    failures = [failure for check in _checks() if (failure := _failure_of(check))]
    for failure in failures:
        print(f"NOT OK  {failure}")
    return int(bool(failures))


def _checks() -> Iterator[Callable[[], None]]:
    deploy = ROOT / "deploy"
    yield refuse_what_is_broken
    for folder in [deploy / "base", *sorted((deploy / "overlays").iterdir())]:
        yield partial(overlay, folder)
    for folder in sorted((deploy / "components").iterdir()):
        yield partial(component, folder)
    yield partial(score, deploy / "overlays/prod")


def _failure_of(check: Callable[[], None]) -> str:
    try:
        check()
    except (OSError, ToolError, ValueError, yaml.YAMLError) as error:
        return str(error)
    return ""


if __name__ == "__main__":
    sys.exit(main())
