"""The overlays on a real API server: taken as they are, rolled out, over the zones, and updated."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.kubernetes.cluster import OVERLAYS, ZONES, Cluster, named, rendered, see

pytestmark = pytest.mark.timeout(300)  # the first test starts the cluster

SERVICES = ("gateway", "fanout", "delivery", "retry", "recorder")
each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
each_service = pytest.mark.parametrize("service", SERVICES)


def _ready_pods(cluster: Cluster, overlay: str, service: str) -> list[Any]:
    label = f"--selector=app.kubernetes.io/name={service}"
    found = cluster.get("pods", f"--namespace={OVERLAYS[overlay]}", label)["items"]
    return [
        pod
        for pod in found
        if "deletionTimestamp" not in pod["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])
    ]


@each_overlay
def test_an_overlay_is_what_the_server_has(cluster: Cluster, overlay: str) -> None:
    """Every document was taken without a warning, and to apply it again changes nothing.

    Not the Job's: a Job that has ended is gone after some time.
    """
    documents = [each for each in rendered(overlay) if each["kind"] != "Job"]

    taken = cluster.try_out(*documents)
    difference = cluster.ask("diff", "--server-side", "--filename=-", documents=documents)

    assert (taken.code, taken.errors) == (0, "")
    assert (difference.code, difference.output) == (0, "")


@each_overlay
@each_service
def test_every_service_rolls_out(cluster: Cluster, overlay: str, service: str) -> None:
    assert len(_ready_pods(cluster, overlay, service)) == (1 if overlay == "dev" else 3)


@each_service
def test_production_is_spread_over_the_zones(cluster: Cluster, service: str) -> None:
    nodes = {node["metadata"]["name"]: node for node in cluster.get("nodes")["items"]}
    zones = Counter(
        nodes[pod["spec"]["nodeName"]]["metadata"]["labels"]["topology.kubernetes.io/zone"]
        for pod in _ready_pods(cluster, "prod", service)
    )

    assert zones == dict.fromkeys(ZONES, 1)


@each_overlay
def test_the_topics_job_ends(cluster: Cluster, overlay: str) -> None:
    namespace = f"--namespace={OVERLAYS[overlay]}"

    cluster.do("wait", "--for=condition=Complete", "job/topics", namespace, "--timeout=60s")


@each_overlay
def test_every_service_is_found_by_its_pods(cluster: Cluster, overlay: str) -> None:
    """The Services' selectors lead to the pods, the ports to what the containers name."""
    pods = 1 if overlay == "dev" else 3
    wanted = dict.fromkeys(SERVICES, pods)

    def addresses() -> dict[str, int]:
        counted: Counter[str] = Counter()
        for each in cluster.get("endpointslices", f"--namespace={OVERLAYS[overlay]}")["items"]:
            service = each["metadata"]["labels"]["kubernetes.io/service-name"]
            counted[service] += len(each.get("endpoints") or ())
        return dict(counted)

    see(addresses, lambda seen: seen == wanted, what="the services' addresses")


def test_a_new_version_replaces_every_pod(cluster: Cluster) -> None:
    """As a release does it: the same overlay with another tag."""
    documents = rendered("dev")
    for service in SERVICES:
        kind = "Deployment" if service == "gateway" else "StatefulSet"
        (container,) = named(documents, kind, service)["spec"]["template"]["spec"]["containers"]
        container["image"] = f"hooklane-{service}:99.0.0"
    changed = [each for each in documents if each["kind"] in ("Deployment", "StatefulSet")]

    cluster.apply(changed)
    cluster.rolled_out(OVERLAYS["dev"])

    for service in SERVICES:
        (pod,) = _ready_pods(cluster, "dev", service)
        assert pod["spec"]["containers"][0]["image"] == f"hooklane-{service}:99.0.0"
    cluster.apply([each for each in rendered("dev") if each["kind"] != "Job"])
    cluster.rolled_out(OVERLAYS["dev"])
