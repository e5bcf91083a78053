"""What a service may do in the cluster: nothing, and nothing in its pods could do it."""

from __future__ import annotations

import pytest

from tests.kubernetes.cluster import OVERLAYS, Cluster, see

pytestmark = pytest.mark.timeout(300)  # the first test starts the cluster

ACCOUNTS = ("gateway", "fanout", "delivery", "retry", "recorder", "topics")
WANTED = ("get secrets", "list pods", "create pods", "get configmaps", "update statefulsets")


def _rules(cluster: Cluster, namespace: str, account: str) -> str:
    """Return all that the server lets a service account do in its namespace."""
    who = f"--as=system:serviceaccount:{namespace}:{account}"
    return cluster.do("auth", "can-i", "--list", "--no-headers", f"--namespace={namespace}", who)


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("namespace", OVERLAYS.values())
def test_a_service_may_do_no_more_than_an_account_that_nobody_made(
    cluster: Cluster, namespace: str, account: str
) -> None:
    cluster.get("serviceaccount", account, f"--namespace={namespace}")

    assert _rules(cluster, namespace, account) == _rules(cluster, namespace, "nobody")


@pytest.mark.parametrize("what", WANTED)
def test_a_service_is_refused(cluster: Cluster, what: str) -> None:
    who = "--as=system:serviceaccount:hooklane:delivery"
    answer = cluster.ask("auth", "can-i", *what.split(), "--namespace=hooklane", who)

    assert (answer.code, answer.output.strip()) == (1, "no")


def test_a_right_that_a_service_were_given_would_be_seen(cluster: Cluster) -> None:
    cluster.do("create", "namespace", "given")
    cluster.do("create", "serviceaccount", "delivery", "--namespace=given")
    account = "--serviceaccount=given:delivery"
    cluster.do("create", "rolebinding", "x", "--clusterrole=view", account, "--namespace=given")

    see(
        lambda: _rules(cluster, "given", "delivery"),
        lambda seen: seen != _rules(cluster, "given", "nobody"),
        what="the right is listed",
    )


@pytest.mark.parametrize("namespace", OVERLAYS.values())
def test_no_pod_has_a_token(cluster: Cluster, namespace: str) -> None:
    pods = cluster.get("pods", f"--namespace={namespace}")["items"]
    volumes = [volume for pod in pods for volume in pod["spec"].get("volumes", ())]

    assert pods
    assert {pod["spec"]["serviceAccountName"] for pod in pods} <= set(ACCOUNTS)
    assert not any("projected" in volume for volume in volumes)
