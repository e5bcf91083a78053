"""Compose file, Kubernetes manifests and Dockerfile against the code that they run.

That they are valid documents of their kind is checked by ``.ci/manifests.py`` with the schemas;
here is what no schema knows: settings that exist, time to drain, probes of paths that are served,
least privilege, and an image for each service.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import pytest
import yaml

from deploy.local.jars import COORDINATES
from deploy.local.services import NAMES
from shared.config import PREFIX, Settings, load
from shared.runtime import CLOSE_WITHIN_S
from tests.architecture.repository import ROOT

BASE: Final = ROOT / "deploy/base"
COMPOSE: Final[Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
STOP_S: Final = Settings().drain_timeout_ms / 1000 + CLOSE_WITHIN_S
HEALTH_PORT: Final = 8081
SECRET_KEYS: Final = "k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


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


def _interpolated(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a compose service's settings with the variables that a person would give."""
    given = {"HOOKLANE_SECRET_KEYS": SECRET_KEYS, "HOOKLANE_JWT_SECRET": "a secret of some length"}
    return {
        name: given.get(name, value.partition(":-")[2].removesuffix("}"))
        if value.startswith("${")
        else value
        for name, value in environment.items()
        if name.startswith(PREFIX)
    }


WORKLOADS: Final = tuple(_workloads())
each_workload = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
each_service = pytest.mark.parametrize("service", NAMES)


def test_kubernetes_runs_every_service_and_the_topics_job() -> None:
    assert {workload.name for workload in WORKLOADS} == {*NAMES, "topics"}


def test_compose_runs_every_service_with_its_servers_and_the_topics_job() -> None:
    assert set(COMPOSE["services"]) == {*NAMES, "kafka", "mongo", "topics"}


def test_compose_runs_the_kafka_that_the_tests_run() -> None:
    version = COMPOSE["services"]["kafka"]["image"].partition(":")[2]

    assert f"org.apache.kafka:kafka_2.13:{version}" in COORDINATES


@each_service
def test_compose_gives_a_service_settings_that_it_accepts(service: str) -> None:
    settings = load(_interpolated(COMPOSE["services"][service]["environment"]))

    assert settings.health_port == HEALTH_PORT
    assert settings.health_host == "0.0.0.0"
    assert settings.secret_keys == SECRET_KEYS


@pytest.mark.parametrize("overlay", ["dev", "prod"])
def test_kubernetes_gives_services_settings_that_they_accept(overlay: str) -> None:
    base = _literals("deploy/base/kustomization.yaml")
    settings = load({**base, **_literals(f"deploy/overlays/{overlay}/kustomization.yaml")})

    assert settings.health_port == HEALTH_PORT
    assert settings.kafka_bootstrap != Settings().kafka_bootstrap


@each_service
def test_a_service_in_compose_may_take_its_time_to_drain(service: str) -> None:
    grace = COMPOSE["services"][service]["stop_grace_period"]

    assert float(grace.removesuffix("s")) > STOP_S


@each_service
def test_compose_waits_for_topics_and_asks_whether_a_service_is_ready(service: str) -> None:
    described = COMPOSE["services"][service]

    assert described["depends_on"]["topics"]["condition"] == "service_completed_successfully"
    assert f":{HEALTH_PORT}/health/ready" in described["healthcheck"]["test"][-1]


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
