"""A control plane of Kubernetes on this machine: everything but nodes, which KWOK pretends to be.

Guarantees: each cluster has its own folder, loopback ports and credentials; all of its processes
are gone when ``running`` ends, and when this process is killed. What is real: the API server with
its admission, the controllers, the scheduler, etcd. What is not: containers (a pod is ready as soon
as it has a node, whatever its image and its probes say), the network and its policies.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import yaml

from deploy.kubernetes.tools import ROOT, gate
from deploy.kubernetes.tools import cluster as programs
from tests.support.polling import until

OVERLAYS: Final = {"dev": "hooklane-dev", "prod": "hooklane"}
"""The overlays and the namespaces that they make."""

ZONES: Final = ("zone-a", "zone-b", "zone-c")
NODES_PER_ZONE: Final = 2
WITHIN_S: Final = 90.0
LOOK_EVERY_S: Final = 0.3  # each look is a process
_STOP_S: Final = 10.0

_TETHER: Final = ROOT / "deploy/local/tether.py"

Document = dict[str, Any]
T = TypeVar("T")


class Answer(NamedTuple):
    """What kubectl ended with: its exit code, what it printed, and its errors and warnings."""

    code: int
    output: str
    errors: str


class Cluster:
    """A running cluster, asked by kubectl. ``folder`` holds its state and logs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kubectl = [
            str(programs() / "kubectl"),
            f"--kubeconfig={folder / 'kubeconfig'}",
            f"--cache-dir={folder / 'kubectl'}",
        ]

    def ask(self, *arguments: str, documents: Sequence[Document] = ()) -> Answer:
        """Run kubectl, with documents as its input; never raises for what it answers."""
        result = subprocess.run(
            [*self._kubectl, *arguments],
            input="\n---\n".join(json.dumps(document) for document in documents),
            capture_output=True,
            text=True,
            check=False,
        )
        return Answer(result.returncode, result.stdout, result.stderr)

    def do(self, *arguments: str, documents: Sequence[Document] = ()) -> str:
        """Run kubectl and return what it prints; an AssertionError says why it refused."""
        answer = self.ask(*arguments, documents=documents)
        assert answer.code == 0, f"kubectl {' '.join(arguments)}: {answer.errors}"
        return answer.output

    def get(self, *arguments: str) -> Any:
        """Return what ``kubectl get`` finds, as the API has it."""
        return json.loads(self.do("get", "--output=json", *arguments))

    def apply(self, documents: Sequence[Document], *more: str) -> str:
        """Apply documents on the server's side, as their only owner."""
        return self.do("apply", "--server-side", "--filename=-", *more, documents=list(documents))

    def try_out(self, *documents: Document) -> Answer:
        """Ask the server what it would say to documents, all of its admission included."""
        return self.ask(
            "apply", "--server-side", "--dry-run=server", "--filename=-", documents=documents
        )

    def rolled_out(self, namespace: str) -> None:
        """Wait until every workload of a namespace has all its pods, of the newest version."""
        names = self.do("get", "deployments,statefulsets", f"--namespace={namespace}", "-oname")
        for name in names.split():
            patience = f"--timeout={WITHIN_S:g}s"
            self.do("rollout", "status", name, f"--namespace={namespace}", patience)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Start a cluster in an empty folder, give it when its nodes are ready, and stop it."""
    with _ports(4) as ports:
        pass  # closed: the programs take them at once
    token = secrets.token_hex()
    _credentials(folder, ports[0], token)
    cluster = Cluster(folder)
    with contextlib.ExitStack() as processes:
        for command in _commands(folder, *ports):
            processes.enter_context(_process(folder, command))
            if command[0] == "kube-apiserver":
                see(
                    lambda: cluster.ask("get", "--raw=/readyz").output,
                    lambda seen: seen == "ok",
                    what="the API server answers",
                )
        # Created, not applied: what is applied to a node leaves its status out.
        cluster.do("create", "--filename=-", documents=list(_nodes()))
        cluster.do("wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={WITHIN_S:g}s")
        yield cluster


@contextlib.contextmanager
def _ports(count: int) -> Iterator[list[int]]:
    """Hold free ports of the loopback interface, all at once so that they differ."""
    with contextlib.ExitStack() as held:
        taken = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in taken:
            each.bind(("127.0.0.1", 0))
        yield [each.getsockname()[1] for each in taken]


def _credentials(folder: Path, port: int, token: str) -> None:
    """Write who the administrator is, the key of the service accounts, and kubectl's file."""
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n', encoding="utf-8")
    key = folder / "accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    public: list[str | Path] = ["openssl", "rsa", "-in", key, "-pubout"]
    public += ["-out", folder / "accounts.pub"]
    subprocess.run(public, check=True, capture_output=True)
    server = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": server}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
        "current-context": "here",
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(content), encoding="utf-8")


def _commands(folder: Path, port: int, etcd: int, peer: int, kwok: int) -> Iterator[list[str]]:
    """Yield the programs with their arguments, in the order in which they start."""
    client, among = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peer}"
    yield [
        "etcd",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={among}",
        f"--initial-advertise-peer-urls={among}",
        f"--initial-cluster=default={among}",
        "--unsafe-no-fsync",
    ]
    yield [
        "kube-apiserver",
        f"--etcd-servers={client}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'certificates'}",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--service-account-key-file={folder / 'accounts.pub'}",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",  # as clusters have it: it is the namespace that refuses
        "--endpoint-reconciler-type=none",
        "--enable-priority-and-fairness=false",
    ]
    kubeconfig = f"--kubeconfig={folder / 'kubeconfig'}"
    yield [
        "kube-controller-manager",
        kubeconfig,
        f"--service-account-private-key-file={folder / 'accounts.key'}",
        f"--root-ca-file={folder / 'certificates/apiserver.crt'}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--horizontal-pod-autoscaler-sync-period=1s",
        "--node-monitor-grace-period=1h",
    ]
    yield ["kube-scheduler", kubeconfig, "--leader-elect=false", "--secure-port=0"]
    yield [
        "kwok",
        kubeconfig,
        "--manage-all-nodes=true",
        f"--server-address=127.0.0.1:{kwok}",
        f"--config={programs() / 'stages.yaml'}",
    ]


@contextlib.contextmanager
def _process(folder: Path, command: list[str]) -> Iterator[None]:
    """Run a program until the block ends, its output in a file; it ends in time or is killed."""
    name, *arguments = command
    tethered = [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid())]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*tethered, str(programs() / name), *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
            assert process.poll() is None, f"{name} ended by itself: {folder / name}.log"
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _nodes() -> Iterator[Document]:
    """Yield nodes for KWOK, spread over the zones."""
    resources = {"cpu": "32", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    for zone in ZONES:
        for number in range(NODES_PER_ZONE):
            name = f"{zone}-{number}"
            labels = {"topology.kubernetes.io/zone": zone, "kubernetes.io/hostname": name}
            yield {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "labels": labels},
                "status": {"allocatable": resources, "capacity": resources},
            }


def see(look: Callable[[], T], wanted: Callable[[T], bool], *, what: str) -> T:
    """Look again and again until what is seen is ``wanted``, and return it."""

    async def seen() -> T:
        return look()

    return asyncio.run(until(seen, wanted, what=what, within_s=WITHIN_S, every_s=LOOK_EVERY_S))


def rendered(overlay: str) -> list[Document]:
    """Return the documents of an overlay, as kustomize makes them; they are the caller's own."""
    documents: list[Document] = json.loads(_built(overlay))
    return documents


@cache
def _built(overlay: str) -> str:
    command: list[str | Path] = [gate() / "kustomize", "build", ROOT / "deploy/overlays" / overlay]
    built = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.dumps(list(yaml.safe_load_all(built.stdout)))


def named(documents: Sequence[Document], kind: str, name: str) -> Document:
    """Return the only document of a kind and name."""
    (found,) = (
        document
        for document in documents
        if (document["kind"], document["metadata"]["name"]) == (kind, name)
    )
    return found
