"""What KEDA makes of a ScaledObject: an autoscaler on an external metric, which KEDA then answers.

KEDA itself is not run here. Its kinds are on the server, so what it would be told is checked, and
the autoscaler that follows from it is Kubernetes' own, with our numbers in it.
"""

from __future__ import annotations

from tests.kubernetes.cluster import Document

_THRESHOLDS = {"kafka": "lagThreshold", "prometheus": "threshold"}


def autoscaler(scaled: Document) -> Document:
    """Return the HorizontalPodAutoscaler that KEDA makes for a ScaledObject with one trigger."""
    spec = scaled["spec"]
    (trigger,) = spec["triggers"]
    threshold = trigger["metadata"][_THRESHOLDS[trigger["type"]]]
    metric = {
        "metric": {"name": metric_of(scaled)},
        "target": {"type": "AverageValue", "averageValue": threshold},
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": f"keda-hpa-{scaled['metadata']['name']}",
            "namespace": scaled["metadata"]["namespace"],
        },
        "spec": {
            "scaleTargetRef": spec["scaleTargetRef"],
            "minReplicas": spec["minReplicaCount"],
            "maxReplicas": spec["maxReplicaCount"],
            "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
            "metrics": [{"type": "External", "external": metric}],
        },
    }


def metric_of(scaled: Document) -> str:
    """Return the name of the metric that a ScaledObject's autoscaler asks for."""
    return f"s0-{scaled['metadata']['name']}"
