"""Nodes that are drained: one pod of a service at a time, by its disruption budget."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kubernetes.cluster import Answer, Cluster, see

pytestmark = pytest.mark.timeout(300)  # the first test starts the cluster

NAMESPACE = "hooklane"
SERVICES = ("gateway", "fanout", "delivery", "retry", "recorder")
EVERY_NODE = "--selector=topology.kubernetes.io/zone"


@pytest.fixture
def full(cluster: Cluster) -> Iterator[Cluster]:
    """Return the cluster without room for another pod: one that is evicted stays away."""
    cluster.do("cordon", EVERY_NODE)
    yield cluster
    cluster.do("uncordon", EVERY_NODE)
    cluster.rolled_out(NAMESPACE)


def _evict(cluster: Cluster, pod: str) -> Answer:
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": NAMESPACE},
    }
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
    return cluster.ask("create", f"--raw={path}", "--filename=-", documents=[eviction])


def _allowed(cluster: Cluster) -> dict[str, int]:
    """Return how many pods each service may lose now."""
    found = cluster.get("poddisruptionbudgets", f"--namespace={NAMESPACE}")["items"]
    return {each["metadata"]["name"]: each["status"]["disruptionsAllowed"] for each in found}


def _one_may_go(cluster: Cluster) -> None:
    one_each = dict.fromkeys(SERVICES, 1)
    see(lambda: _allowed(cluster), lambda seen: seen == one_each, what="each may lose one pod")


def _two_pods(cluster: Cluster, service: str) -> tuple[str, str]:
    label = f"--selector=app.kubernetes.io/name={service}"
    pods = cluster.get("pods", f"--namespace={NAMESPACE}", label)["items"]
    first, second, *_ = [pod["metadata"]["name"] for pod in pods]
    return first, second


def test_a_second_pod_of_a_service_is_not_taken_before_the_first_is_back(full: Cluster) -> None:
    pods = {service: _two_pods(full, service) for service in SERVICES}
    _one_may_go(full)

    taken = [_evict(full, first) for first, _ in pods.values()]
    refused = [_evict(full, second) for _, second in pods.values()]
    full.do("uncordon", EVERY_NODE)
    _one_may_go(full)
    taken_later = [_evict(full, second) for _, second in pods.values()]

    assert [answer.code for answer in taken + taken_later] == [0] * 2 * len(SERVICES)
    assert all("(TooManyRequests)" in answer.errors for answer in refused), refused


def test_a_drain_moves_everything_and_never_takes_two(cluster: Cluster) -> None:
    node = "zone-a-0"

    cluster.do("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s")

    left = cluster.get("pods", "--all-namespaces", f"--field-selector=spec.nodeName={node}")
    running = [pod for pod in left["items"] if pod["status"]["phase"] == "Running"]
    cluster.do("uncordon", node)
    cluster.rolled_out(NAMESPACE)
    assert running == []
