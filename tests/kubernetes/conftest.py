"""One control plane for all tests of this folder, with the definitions and both overlays on it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.kubernetes.tools import definitions
from tests.kubernetes.cluster import OVERLAYS, WITHIN_S, Cluster, Document, rendered, running
from tests.kubernetes.keda import autoscaler


@pytest.fixture(scope="session")
def bare() -> Iterator[Cluster]:
    """Return a running cluster that knows the components' kinds, and has nothing on it."""
    folder = Path(tempfile.mkdtemp(prefix="hooklane-kubernetes-"))
    try:
        with running(folder) as cluster:
            files = [f"--filename={path}" for path in definitions()]
            cluster.do("apply", "--server-side", *files)
            patience = f"--timeout={WITHIN_S:g}s"
            cluster.do("wait", "--for=condition=Established", "crd", "--all", patience)
            yield cluster
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def cluster(bare: Cluster) -> Cluster:
    """Return the cluster with both overlays on it, every workload rolled out.

    KEDA is not there: an autoscaler for each ScaledObject stands in, as KEDA would make it.
    """
    for overlay in OVERLAYS:
        documents = rendered(overlay)
        bare.apply([each for each in documents if each["kind"] == "Namespace"])
        bare.apply(documents)
        scaled = [each for each in documents if each["kind"] == "ScaledObject"]
        autoscalers = [autoscaler(each) for each in scaled]
        if autoscalers:
            bare.apply(autoscalers)
        autoscalers += [each for each in documents if each["kind"] == "HorizontalPodAutoscaler"]
        for each in autoscalers:
            _has_its_minimum(bare, each)
    for namespace in OVERLAYS.values():
        bare.rolled_out(namespace)
    return bare


def _has_its_minimum(cluster: Cluster, autoscaler: Document) -> None:
    """Wait until an autoscaler has told its workload to have as many pods as it has at least."""
    target = autoscaler["spec"]["scaleTargetRef"]
    told = f"--for=jsonpath={{.spec.replicas}}={autoscaler['spec']['minReplicas']}"
    namespace = f"--namespace={autoscaler['metadata']['namespace']}"
    workload = f"{target['kind']}/{target['name']}"
    cluster.do("wait", told, workload, namespace, f"--timeout={WITHIN_S:g}s")
