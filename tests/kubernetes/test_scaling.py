"""The number of workers follows a metric, within the bounds that the ScaledObjects set."""

from __future__ import annotations

import datetime
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.kubernetes.cluster import Cluster, named, rendered, see
from tests.kubernetes.keda import metric_of

pytestmark = pytest.mark.timeout(300)  # the first test starts the cluster

NAMESPACE = "hooklane"
GROUP = "external.metrics.k8s.io"


class Metrics:
    """The external metrics that the server asks for, as KEDA would answer it."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}

    def answer(self, path: str) -> Any:
        """Return what the API has at a path: a metric, or the list of what there is."""
        name = path.partition("?")[0].rpartition("/")[2]
        if name not in self.values:
            return {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": f"{GROUP}/v1beta1",
                "resources": [],
            }
        item = {
            "metricName": name,
            "metricLabels": {},
            "timestamp": datetime.datetime.now(datetime.UTC).isoformat(),
            "value": str(self.values[name]),
        }
        return {
            "kind": "ExternalMetricValueList",
            "apiVersion": f"{GROUP}/v1beta1",
            "metadata": {},
            "items": [item],
        }


def _certificate(folder: Path) -> ssl.SSLContext:
    """Return a TLS server's context with a certificate of its own making."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "metrics.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@pytest.fixture(scope="module")
def metrics(cluster: Cluster) -> Iterator[Metrics]:
    """Return metrics that the cluster's API has while these tests run."""
    served = Metrics()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(served.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = _certificate(cluster.folder).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    registration = _registration(server.server_port)
    try:
        cluster.apply(registration)
        cluster.do("wait", "--for=condition=Available", f"apiservice/v1beta1.{GROUP}")
        yield served
    finally:
        cluster.ask("delete", "--filename=-", documents=registration)
        server.shutdown()
        thread.join()
        server.server_close()


def _registration(port: int) -> list[dict[str, Any]]:
    """Return what makes the API server ask this machine's port for external metrics."""
    service = {"name": "metrics", "namespace": "default", "port": port}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "metrics", "namespace": "default"},
            "spec": {
                "type": "ExternalName",
                "externalName": "localhost",
                "ports": [{"port": port}],
            },
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"v1beta1.{GROUP}"},
            "spec": {
                "group": GROUP,
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": service,
            },
        },
    ]


@pytest.mark.parametrize(
    ("service", "waiting", "replicas"),
    [
        ("fanout", 22_000, 5),  # events that nobody has matched, 5,000 for each replica
        ("delivery", 10_000_000, 24),  # no more than partitions, whatever waits
        ("retry", 60, 4),  # seconds that the earliest retry is late, 15 for each replica
    ],
)
def test_workers_are_added_for_what_waits(
    cluster: Cluster, metrics: Metrics, service: str, waiting: int, replicas: int
) -> None:
    scaled = named(rendered("prod"), "ScaledObject", service)
    stateful_set = ("statefulset", service, f"--namespace={NAMESPACE}")
    before = cluster.get(*stateful_set)["status"]["readyReplicas"]
    # Production doubles at most once in a minute; here that minute is a second.
    patch = {
        "spec": {
            "behavior": {
                "scaleUp": {
                    "stabilizationWindowSeconds": 0,
                    "policies": [{"type": "Percent", "value": 900, "periodSeconds": 1}],
                }
            }
        }
    }
    cluster.do(
        "patch",
        "hpa",
        f"keda-hpa-{service}",
        f"--namespace={NAMESPACE}",
        "--type=merge",
        f"--patch={json.dumps(patch)}",
    )

    metrics.values[metric_of(scaled)] = waiting
    see(
        lambda: cluster.get(*stateful_set)["status"].get("readyReplicas"),
        lambda seen: seen == replicas,
        what=f"{service} has {replicas} pods",
    )

    assert before == scaled["spec"]["minReplicaCount"]
