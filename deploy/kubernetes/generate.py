"""The manifests that are made of something else, so that they cannot say anything else.

| file below deploy/components | made of |
|---|---|
| strimzi/topics.yaml | the topic table, with the base's numbers of partitions and copies |
| network-policy/world.yaml | the addresses that no webhook is sent to |
| monitoring/rules.yaml | the alerts of deploy/observability |

`python -m deploy.kubernetes.generate` writes them; a test holds that they are as it would write
them. `python -m deploy.kubernetes.generate topics` prints the first one for the environment's
settings: other tiers, partitions or a prefix.
"""

import os
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from shared.config import Settings, load
from shared.kafka.admin import configs_of, partitions_of
from shared.kafka.names import topic_name
from shared.policy.addresses import never_reached
from shared.topics import Topic, table

ROOT: Final = Path(__file__).resolve().parents[2]
ALERTS: Final = ROOT / "deploy/observability/alerts.yaml"
PART_OF: Final = {"app.kubernetes.io/part-of": "hooklane"}
KAFKA: Final = "kafka"
"""The Kafka cluster's name: what Strimzi's resources and Kafka's pods are labelled with."""


def files() -> dict[Path, str]:
    """Return every generated file with its text."""
    components = ROOT / "deploy/components"
    return {
        components / "strimzi/topics.yaml": topics(base_settings()),
        components / "network-policy/world.yaml": world(),
        components / "monitoring/rules.yaml": rules(),
    }


def base_settings() -> Settings:
    """Return the settings that the base gives to all services."""
    path = ROOT / "deploy/base/kustomization.yaml"
    (generator,) = yaml.safe_load(path.read_text(encoding="utf-8"))["configMapGenerator"]
    return load(dict(literal.split("=", 1) for literal in generator["literals"]))


def topics(settings: Settings) -> str:
    """Return the topic table as resources of Strimzi's topic operator."""
    rows = (_topic(settings, row) for row in table(settings.tiers))
    return _text("shared/topics.py", *rows)


def _topic(settings: Settings, row: Topic) -> dict[str, Any]:
    name = topic_name(settings, row)
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaTopic",
        "metadata": {"name": name, "labels": {"strimzi.io/cluster": KAFKA, **PART_OF}},
        "spec": {
            "topicName": name,
            "partitions": partitions_of(settings, row),
            "replicas": settings.replication_factor,
            "config": configs_of(settings, row),
        },
    }


def world() -> str:
    """Return the policy that lets delivery workers out, to public addresses and over TCP only."""
    blocks = [
        {"ipBlock": {"cidr": str(cidr), "except": [str(network) for network in networks]}}
        for cidr, networks in never_reached().items()
    ]
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "world"},
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "delivery"}},
            "policyTypes": ["Egress"],
            "egress": [{"to": blocks, "ports": [{"protocol": "TCP"}]}],
        },
    }
    return _text("shared/policy/addresses.py", policy)


def rules() -> str:
    """Return the alerts as a resource of Prometheus' operator."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "hooklane", "labels": PART_OF},
        "spec": {"groups": groups},
    }
    return _text("deploy/observability/alerts.yaml", resource)


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice twice: an alias says nothing to a reader."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _text(source: str, *documents: dict[str, Any]) -> str:
    head = f"# Made of {source} by `python -m deploy.kubernetes.generate`.\n"
    return head + yaml.dump_all(
        documents, Dumper=_Plain, sort_keys=False, width=100, allow_unicode=True
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["topics"]:
        sys.stdout.write(topics(load(os.environ)))
    else:
        for path, text in files().items():
            path.write_text(text, encoding="utf-8")
