"""Manifests that are broken on purpose: the server has to refuse each, and take it when mended."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final, NamedTuple

import pytest

from tests.kubernetes.cluster import Cluster, Document, named, rendered

pytestmark = pytest.mark.timeout(300)  # the first test starts the cluster

NAMESPACE: Final = "hooklane"


class Fault(NamedTuple):
    """How a document of the production overlay is broken, and what the server says to it."""

    kind: str
    name: str
    break_it: Callable[[Any], None]
    says: str


def _pod(document: Any) -> Any:
    return document["spec"]["template"]["spec"]


def _container(document: Any) -> Any:
    return _pod(document)["containers"][0]


def _selector(document: Any) -> None:
    document["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] = "somebody-else"


def _missing_volume(document: Any) -> None:
    _pod(document)["volumes"] = []


def _request_over_limit(document: Any) -> None:
    _container(document)["resources"]["requests"]["memory"] = "2Gi"


def _unknown_field(document: Any) -> None:
    document["spec"]["replicaz"] = 3


def _unknown_probe(document: Any) -> None:
    _container(document)["livenessProbe"]["httpGet"]["port"] = "healt h"


def _no_partitions(document: Any) -> None:
    document["spec"]["partitions"] = 0


def _copies_as_words(document: Any) -> None:
    document["spec"]["replicas"] = "three"


def _unknown_trigger_field(document: Any) -> None:
    document["spec"]["triggers"][0]["metdata"] = {}


def _trigger_number(document: Any) -> None:
    document["spec"]["triggers"][0]["metadata"]["lagThreshold"] = 5000  # KEDA takes texts


def _interval(document: Any) -> None:
    document["spec"]["endpoints"][0]["interval"] = "15parsecs"


def _rule_without_expression(document: Any) -> None:
    del document["spec"]["groups"][0]["rules"][0]["expr"]


def _path_match(document: Any) -> None:
    document["spec"]["rules"][0]["matches"][0]["path"]["type"] = "Suffix"


def _except_outside(document: Any) -> None:
    block = document["spec"]["egress"][0]["to"][0]["ipBlock"]
    block["cidr"] = "10.0.0.0/8"


def _both_budgets(document: Any) -> None:
    document["spec"]["minAvailable"] = 1


FAULTS: Final = {
    "selector that misses its pods": Fault("StatefulSet", "fanout", _selector, "selector"),
    "volume that is not there": Fault("Deployment", "gateway", _missing_volume, "Not found"),
    "request over the limit": Fault(
        "StatefulSet", "delivery", _request_over_limit, "must be less than or equal to memory limit"
    ),
    "unknown field": Fault("StatefulSet", "retry", _unknown_field, "field not declared in schema"),
    "probe of no port": Fault("StatefulSet", "recorder", _unknown_probe, "livenessProbe"),
    "topic without partitions": Fault("KafkaTopic", "events", _no_partitions, "greater than or"),
    "topic with a word for a number": Fault(
        "KafkaTopic", "events", _copies_as_words, "spec.replicas"
    ),
    "trigger with an unknown field": Fault(
        "ScaledObject", "fanout", _unknown_trigger_field, "field not declared in schema"
    ),
    "trigger with a number": Fault("ScaledObject", "delivery", _trigger_number, "string"),
    "interval that is none": Fault("ServiceMonitor", "hooklane", _interval, "interval"),
    "alert without an expression": Fault(
        "PrometheusRule", "hooklane", _rule_without_expression, "expr"
    ),
    "route by an unknown match": Fault("HTTPRoute", "gateway", _path_match, "Unsupported value"),
    "policy with an exception outside": Fault("NetworkPolicy", "world", _except_outside, "except"),
    "budget of two minds": Fault(
        "PodDisruptionBudget", "delivery", _both_budgets, "cannot be both set"
    ),
}


@pytest.fixture(scope="module")
def production() -> list[Document]:
    """Return the documents of the production overlay."""
    return rendered("prod")


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_broken_manifest_is_refused(
    cluster: Cluster, production: list[Document], fault: Fault
) -> None:
    mended = named(production, fault.kind, fault.name)
    broken = deepcopy(mended)
    fault.break_it(broken)

    refused = cluster.try_out(broken)
    taken = cluster.try_out(mended)

    assert refused.code != 0, refused
    assert fault.says in refused.errors, refused
    assert taken.code == 0, taken


def _privileged(spec: Any) -> None:
    spec["containers"][0]["securityContext"]["privileged"] = True
    spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True


def _as_root(spec: Any) -> None:
    spec["securityContext"]["runAsNonRoot"] = False


def _more_capabilities(spec: Any) -> None:
    spec["containers"][0]["securityContext"]["capabilities"] = {"add": ["NET_ADMIN"]}


def _hosts_network(spec: Any) -> None:
    spec["hostNetwork"] = True


def _hosts_files(spec: Any) -> None:
    spec["volumes"].append({"name": "etc", "hostPath": {"path": "/etc"}})


def _no_seccomp(spec: Any) -> None:
    del spec["securityContext"]["seccompProfile"]


@pytest.mark.parametrize(
    "loosen",
    [_privileged, _as_root, _more_capabilities, _hosts_network, _hosts_files, _no_seccomp],
)
def test_a_pod_with_more_rights_is_refused(
    cluster: Cluster, production: list[Document], loosen: Callable[[Any], None]
) -> None:
    """By Pod Security's level "restricted", which the overlay's namespace enforces."""
    spec = _pod(named(production, "StatefulSet", "delivery"))
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "single", "namespace": NAMESPACE},
        "spec": spec,
    }
    loose = deepcopy(pod)
    loosen(loose["spec"])

    refused = cluster.try_out(loose)
    taken = cluster.try_out(pod)

    assert refused.code != 0, refused
    assert 'violates PodSecurity "restricted' in refused.errors, refused
    assert taken.code == 0, taken
