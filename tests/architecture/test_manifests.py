"""Kubernetes manifests against the code that they run; ``test_compose`` does it for Compose.

That they are valid documents of their kind is checked by ``.ci/manifests.py`` with the schemas;
here is what no schema knows: settings that exist, time to drain, probes of paths that are served,
least privilege, and an image for each service.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
import yaml

from deploy.local.services import NAMES
from shared.config import Settings, load
from shared.runtime import CLOSE_WITHIN_S
from tests.architecture.repository import ROOT

BASE: Final = ROOT / "deploy/base"
STOP_S: Final = Settings().drain_timeout_ms / 1000 + CLOSE_WITHIN_S
HEALTH_PORT: Final = 8081


class Workload(NamedTuple):
    """A Deployment, StatefulSet or Job of the base. ``pod`` is its pod's spec."""

    kind: str
    name: str
    pod: Any

    @property
    def container(self) -> Any:
        """Return its only container."""
        (container,) = self.pod["containers"]
        return container


def _workloads() -> Iterator[Workload]:
    for name in _yaml(BASE / "kustomization.yaml")[0]["resources"]:
        for document in _yaml(BASE / name):
            if document["kind"] in ("Deployment", "StatefulSet", "Job"):
                pod = document["spec"]["template"]["spec"]
                yield Workload(document["kind"], document["metadata"]["name"], pod)


def _yaml(path: Any) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def _literals(path: str) -> dict[str, str]:
    """Return the settings that a kustomization puts into the configuration map."""
    (generator,) = _yaml(ROOT / path)[0]["configMapGenerator"]
    return dict(literal.split("=", 1) for literal in generator["literals"])


WORKLOADS: Final = tuple(_workloads())
each_workload = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)


def test_kubernetes_runs_every_service_and_the_topics_job() -> None:
    assert {workload.name for workload in WORKLOADS} == {*NAMES, "topics"}


@pytest.mark.parametrize("overlay", ["dev", "prod"])
def test_kubernetes_gives_services_settings_that_they_accept(overlay: str) -> None:
    base = _literals("deploy/base/kustomization.yaml")
    settings = load({**base, **_literals(f"deploy/overlays/{overlay}/kustomization.yaml")})

    assert settings.health_port == HEALTH_PORT
    assert settings.kafka_bootstrap != Settings().kafka_bootstrap


@each_workload
def test_a_pod_has_no_more_rights_than_it_needs(workload: Workload) -> None:
    own = workload.container["securityContext"]

    assert workload.pod["securityContext"]["runAsNonRoot"] is True
    assert workload.pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert workload.pod["automountServiceAccountToken"] is False
    assert own["allowPrivilegeEscalation"] is False
    assert own["readOnlyRootFilesystem"] is True
    assert own["capabilities"] == {"drop": ["ALL"]}


@each_workload
def test_no_variable_of_the_cluster_is_taken_for_a_setting(workload: Workload) -> None:
    """A Service named hooklane-x would put HOOKLANE_X_PORT into every pod, which is refused."""
    assert workload.pod["enableServiceLinks"] is False


@each_workload
def test_a_pod_says_what_it_needs_and_where_it_ends(workload: Workload) -> None:
    resources = workload.container["resources"]

    assert set(resources["requests"]) == {"cpu", "memory", "ephemeral-storage"}
    assert set(resources["limits"]) == {"memory", "ephemeral-storage"}


@pytest.mark.parametrize(
    "workload", [w for w in WORKLOADS if w.kind != "Job"], ids=lambda workload: workload.name
)
class TestService:
    """What every pod of a service has besides."""

    def test_it_may_take_its_time_to_drain(self, workload: Workload) -> None:
        assert workload.pod["terminationGracePeriodSeconds"] > STOP_S

    def test_its_probes_ask_for_paths_that_are_served(self, workload: Workload) -> None:
        ports = {port["name"]: port["containerPort"] for port in workload.container["ports"]}
        probes = {
            name: workload.container[name]["httpGet"]
            for name in ("startupProbe", "readinessProbe", "livenessProbe")
        }

        assert ports["health"] == HEALTH_PORT
        assert {probe["port"] for probe in probes.values()} == {"health"}
        assert probes["livenessProbe"]["path"] == "/health/live"
        assert probes["readinessProbe"]["path"] == "/health/ready"

    def test_a_consumer_is_a_static_member_of_its_group(self, workload: Workload) -> None:
        names = {variable["name"] for variable in workload.container["env"]}

        assert ("HOOKLANE_INSTANCE" in names) == (workload.kind == "StatefulSet")
        assert (workload.kind == "Deployment") == (workload.name == "gateway")

    def test_its_image_is_made_from_a_lock_of_its_own(self, workload: Workload) -> None:
        assert workload.container["image"] == f"hooklane-{workload.name}"
        assert (ROOT / f"requirements/{workload.name}.txt").exists()
