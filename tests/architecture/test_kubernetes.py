"""The components and overlays against the code: names, numbers and addresses said in two places.

What Kubernetes itself makes of the manifests is shown in tests/kubernetes, on a real API server.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from litestar.routes import HTTPRoute

from deploy.kubernetes.generate import base_settings, files
from deploy.local.services import NAMES
from services.gateway.app import create_app
from services.gateway.auth import Authenticator, JwtPolicy
from services.gateway.routes.health import Checks
from shared.config import PREFIX, Settings
from shared.kafka.admin import partitions_of
from shared.kafka.names import group_name
from shared.runtime import CLOSE_WITHIN_S
from shared.topics import ATTEMPTS, DELIVERIES, EVENTS, Topic, table
from shared.version import VERSION
from tests.architecture.repository import ROOT
from tests.unit.services.gateway.fakes import ports

BASE: Final = ROOT / "deploy/base"
COMPONENTS: Final = ROOT / "deploy/components"
OVERLAYS: Final = ROOT / "deploy/overlays"
SECRETS: Final = {
    "gateway": {"SECRET_KEYS", "MONGO_URI", "JWT_SECRET", "OPERATOR_KEY_SHA256"},
    "delivery": {"SECRET_KEYS"},
    "recorder": {"MONGO_URI"},
    "fanout": set(),
    "retry": set(),
}
"""What each service opens; nothing else is in its environment."""

INSIDE: Final = ("/health", "/metrics", "/version")
"""What the gateway serves to the cluster alone."""


@cache
def loaded(path: Path) -> list[Any]:
    """Return a file's documents."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def kustomization(folder: Path) -> Any:
    """Return a folder's kustomization."""
    return loaded(folder / "kustomization.yaml")[0]


def of_kind(kind: str, *folders: Path) -> list[Any]:
    """Return the documents of one kind of the folders' manifests, their patches left out."""
    return [
        document
        for folder in folders
        for name in kustomization(folder)["resources"]
        if name.endswith(".yaml")
        for document in loaded(folder / name)
        if document["kind"] == kind
    ]


SETTINGS: Final = base_settings()
EVERYWHERE: Final = [BASE, *sorted(COMPONENTS.iterdir())]
WORKLOADS: Final = {
    document["metadata"]["name"]: document
    for kind in ("Deployment", "StatefulSet", "Job")
    for document in of_kind(kind, BASE)
}
POLICIES: Final = {
    policy["metadata"]["name"]: policy["spec"] for policy in of_kind("NetworkPolicy", *EVERYWHERE)
}
each_service = pytest.mark.parametrize("service", NAMES)
each_overlay = pytest.mark.parametrize("overlay", ["dev", "prod"])


def _container(name: str) -> Any:
    (container,) = WORKLOADS[name]["spec"]["template"]["spec"]["containers"]
    return container


def test_generated_manifests_are_as_they_would_be_generated() -> None:
    """Run `python -m deploy.kubernetes.generate` when this fails."""
    stale = [path for path, text in files().items() if path.read_text(encoding="utf-8") != text]

    assert stale == []


def test_strimzis_topics_are_the_topic_table() -> None:
    made = {
        topic["spec"]["topicName"]: topic["spec"]
        for topic in of_kind("KafkaTopic", COMPONENTS / "strimzi")
    }
    rows = {row.name: row for row in table(SETTINGS.tiers)}

    assert set(made) == set(rows)
    for name, row in rows.items():
        assert made[name]["partitions"] == partitions_of(SETTINGS, row)
        assert made[name]["replicas"] == 3
        assert made[name]["config"]["retention.ms"] == str(row.retention_ms)
        assert made[name]["config"]["min.insync.replicas"] == "2"


def test_every_variable_in_the_manifests_is_a_setting() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.__struct_fields__}
    named = {
        name
        for path in (ROOT / "deploy").glob("*/**/*.yaml")
        for name in re.findall(rf"\b{PREFIX}[A-Z0-9_]+\b", path.read_text(encoding="utf-8"))
    }

    assert len(named) > 10
    assert named - known == set()


@each_service
def test_a_service_has_the_secrets_that_it_opens_and_no_other(service: str) -> None:
    container = _container(service)
    given = {
        variable["name"]
        for variable in container["env"]
        if "secretKeyRef" in variable.get("valueFrom", {})
    }

    assert given == {f"{PREFIX}{name}" for name in SECRETS[service]}
    assert container["envFrom"] == [{"configMapRef": {"name": "hooklane"}}]


def test_the_topics_job_has_no_secret() -> None:
    assert "env" not in _container("topics")


@each_service
def test_ports_are_the_codes_own(service: str) -> None:
    named = {port["name"]: port["containerPort"] for port in _container(service)["ports"]}
    expected = {"health": SETTINGS.health_port}
    if service == "gateway":
        expected["http"] = SETTINGS.gateway_port
    (address,) = (s for s in of_kind("Service", BASE) if s["metadata"]["name"] == service)

    assert named == expected
    assert {port["targetPort"] for port in address["spec"]["ports"]} == set(expected)


@each_service
def test_the_grace_period_is_longer_than_the_drain_and_what_comes_before_it(service: str) -> None:
    hooks = _container(service).get("lifecycle", {})
    before_s = hooks.get("preStop", {}).get("sleep", {}).get("seconds", 0)
    grace_s = WORKLOADS[service]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]

    assert grace_s > before_s + SETTINGS.drain_timeout_ms / 1000 + CLOSE_WITHIN_S


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_pod_has_an_account_of_its_own_without_a_token(name: str) -> None:
    account = WORKLOADS[name]["spec"]["template"]["spec"]["serviceAccountName"]
    (found,) = (a for a in of_kind("ServiceAccount", BASE) if a["metadata"]["name"] == name)

    assert account == name
    assert found["automountServiceAccountToken"] is False


@each_overlay
def test_an_overlay_gives_every_image_the_tag_of_this_version(overlay: str) -> None:
    used = {_container(name)["image"] for name in WORKLOADS}
    tags = {image["name"]: image["newTag"] for image in kustomization(OVERLAYS / overlay)["images"]}

    assert not any(":" in image for image in used)
    assert tags == dict.fromkeys(used, VERSION)


@each_overlay
def test_an_overlay_makes_its_namespace_restricted(overlay: str) -> None:
    (namespace,) = of_kind("Namespace", OVERLAYS / overlay)

    assert namespace["metadata"]["name"] == kustomization(OVERLAYS / overlay)["namespace"]
    assert namespace["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}


def test_production_uses_every_component_that_needs_no_setting() -> None:
    used = {Path(name).name for name in kustomization(OVERLAYS / "prod")["components"]}

    assert used == {folder.name for folder in COMPONENTS.iterdir()} - {"identity-provider"}


@pytest.mark.parametrize(
    ("service", "topic"), [("fanout", EVENTS), ("delivery", DELIVERIES), ("recorder", ATTEMPTS)]
)
def test_lag_is_read_of_the_group_that_a_service_is(service: str, topic: Topic) -> None:
    (scaled,) = (s for s in _scaled() if s["metadata"]["name"] == service)
    (trigger,) = scaled["spec"]["triggers"]
    variable = trigger["metadata"]["bootstrapServersFromEnv"]

    assert trigger["metadata"]["consumerGroup"] == group_name(SETTINGS, service)
    assert trigger["metadata"]["topic"] == topic.name
    assert variable.removeprefix(PREFIX).lower() in Settings.__struct_fields__
    assert scaled["spec"]["maxReplicaCount"] <= partitions_of(SETTINGS, topic)


def test_retries_are_scaled_by_a_metric_that_is_exported() -> None:
    (scaled,) = (s for s in _scaled() if s["metadata"]["name"] == "retry")
    (trigger,) = scaled["spec"]["triggers"]
    (name,) = re.findall(r"hooklane_\w+", trigger["metadata"]["query"])
    tier = next(row for row in table(SETTINGS.tiers) if row.name.startswith("retry."))

    assert f'"{name}"' in (ROOT / "services/retry/metrics.py").read_text(encoding="utf-8")
    assert scaled["spec"]["maxReplicaCount"] <= partitions_of(SETTINGS, tier)


def test_every_worker_is_scaled() -> None:
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in _scaled()}

    assert scaled == set(NAMES) - {"gateway"}
    assert all(s["spec"]["minReplicaCount"] <= s["spec"]["maxReplicaCount"] for s in _scaled())


def _scaled() -> list[Any]:
    return of_kind("ScaledObject", COMPONENTS / "autoscaling")


def test_only_delivery_leaves_the_cluster() -> None:
    leaving = {
        name: policy["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
        for name, policy in POLICIES.items()
        if "ipBlock" in str(policy)
    }

    assert leaving == {"world": "delivery", "identity-provider": "gateway"}
    assert "Egress" in POLICIES["default-deny"]["policyTypes"]
    assert "egress" not in POLICIES["default-deny"]


def test_mongodb_is_open_to_those_who_have_its_address() -> None:
    (_, by_name) = POLICIES["mongodb"]["podSelector"]["matchExpressions"]

    assert set(by_name["values"]) == {name for name in NAMES if "MONGO_URI" in SECRETS[name]}


def test_metrics_are_scraped_where_they_are_served() -> None:
    (rule,) = POLICIES["monitoring"]["ingress"]
    (monitor,) = of_kind("ServiceMonitor", COMPONENTS / "monitoring")
    (endpoint,) = monitor["spec"]["endpoints"]

    assert [port["port"] for port in rule["ports"]] == [SETTINGS.health_port]
    assert endpoint["port"] == "health"


async def test_the_route_leads_to_the_whole_api_and_to_nothing_else() -> None:
    async def nothing() -> None: ...

    given = ports()
    application = create_app(
        ports=given,
        authenticator=Authenticator(given, JwtPolicy("", "hooklane")),
        checks=Checks(kafka=nothing, mongodb=nothing),
    )
    served = {route.path for route in application.routes if isinstance(route, HTTPRoute)}
    (route,) = of_kind("HTTPRoute", COMPONENTS / "http-route")
    (rule,) = route["spec"]["rules"]
    prefixes = tuple(match["path"]["value"] for match in rule["matches"])

    assert {path for path in served if not path.startswith(prefixes)} == {
        path for path in served if path.startswith(INSIDE)
    }
