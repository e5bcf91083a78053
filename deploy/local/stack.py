"""The whole of Hooklane on one machine: Kafka, MongoDB, topics, the five services, the demo.

`Stack` starts everything in order, restarts what dies, and stops in order: services first, so that
they drain and commit, then their servers. State is kept in one folder across runs. `dev.json` tells
other programs where everything is; it is written last, when the gateway is ready, and again
whenever a process was restarted. The crash tests use the same class as `make run`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka.errors import KafkaError

from deploy.local import ports
from deploy.local.demo import Accounts, seed
from deploy.local.errors import LocalError
from deploy.local.files import write_private
from deploy.local.kafka import Kafka
from deploy.local.mongo import Mongo
from deploy.local.processes import Child
from deploy.local.services import NAMES, make_services
from deploy.local.supervisor import Notice, Supervisor
from shared.config import ConfigError, Settings, load
from shared.kafka.admin import create_topics
from shared.models.errors import HooklaneError
from shared.signing.keyring import KEY_BYTES
from shared.topics import EVENTS

GATEWAY_PORT: Final = 8080
KAFKA_PORT: Final = 9092
MONGO_PORT: Final = 27017
OPERATOR_KEY: Final = "operator_key"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What `make run` can be told through the environment; see `Options.read`."""

    state_dir: Path
    gateway_port: int = GATEWAY_PORT
    kafka_port: int = KAFKA_PORT
    mongo_port: int = MONGO_PORT
    kafka_bootstrap: str | None = None
    mongo_uri: str | None = None
    counts: Mapping[str, int] = {}
    optimise: bool = False
    settings: Mapping[str, str] = {}
    own_settings: Mapping[str, Mapping[str, str]] = {}  # of single services, over the others

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Options:
        """Return the options in `environ`; raises LocalError that names what is wrong."""
        state_dir = Path(environ.get("HOOKLANE_STATE_DIR") or ".hooklane").absolute()
        counts = {
            name: _number(environ, f"HOOKLANE_{name.upper()}_PROCESSES", 1)
            for name in NAMES
            if name != "gateway"
        }
        return cls(
            state_dir=state_dir,
            gateway_port=_number(environ, "HOOKLANE_GATEWAY_PORT", GATEWAY_PORT),
            kafka_port=_number(environ, "HOOKLANE_KAFKA_PORT", KAFKA_PORT),
            mongo_port=_number(environ, "HOOKLANE_MONGO_PORT", MONGO_PORT),
            kafka_bootstrap=environ.get("HOOKLANE_KAFKA_BOOTSTRAP") or None,
            mongo_uri=environ.get("HOOKLANE_MONGO_URI") or None,
            counts=counts,
            optimise=environ.get("HOOKLANE_OPTIMISE", "") not in {"", "0", "false"},
            settings={name: text for name, text in environ.items() if name.startswith("HOOKLANE_")},
        )


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise LocalError(f"{name}={text!r} is not a number: give one from 0 to 65535")
    return int(text)


class Stack:
    """The servers and services of one state folder."""

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self._options = options
        self._say = say
        self._supervisor = Supervisor(self._on_notice)
        self._accounts: Accounts = {}
        self._operator_key = ""
        self.children: dict[str, Child] = {}
        self.gateway_url = ""
        self.env: dict[str, str] = {}

    @property
    def dev_json(self) -> Path:
        """Where other programs find out about this stack."""
        return self._options.state_dir / "dev.json"

    async def start(self) -> None:
        """Start everything; returns when the gateway is ready and `dev.json` is written."""
        options = self._options
        self.dev_json.unlink(missing_ok=True)
        port = ports.claim(
            options.gateway_port, owner="the gateway", setting="HOOKLANE_GATEWAY_PORT"
        )
        self.gateway_url = f"http://{ports.HOST}:{port}"
        bootstrap, uri, servers = self._servers()
        kept = _local_secrets(options.state_dir)
        self._operator_key = kept.operator_key
        self.env = _service_env(options, kept.env, bootstrap, uri, port)
        settings = _settings(self.env)
        services = make_services(
            options.counts, env=self.env, own=options.own_settings, logs_dir=self._logs_dir
        )
        self.children = {child.name: child for child in (*servers, *services)}
        await self._supervisor.start(*servers)
        await _create_topics(settings)
        seeding = asyncio.create_task(seed(settings, options.state_dir))
        try:
            await self._supervisor.start(*services)
            self._accounts = await seeding
        finally:
            seeding.cancel()
        write_private(self.dev_json, self.describe())

    async def stop(self) -> None:
        """Stop everything in order, services first; nothing is left behind."""
        self.dev_json.unlink(missing_ok=True)
        await self._supervisor.stop()

    async def failure(self) -> LocalError:
        """Wait until a process is given up, and return what there is to say about it."""
        return await self._supervisor.failure()

    def describe(self) -> dict[str, Any]:
        """Return the content of `dev.json`."""
        return {
            "gateway": self.gateway_url,
            "kafka": self.env["HOOKLANE_KAFKA_BOOTSTRAP"],
            "mongo": self.env["HOOKLANE_MONGO_URI"],
            "events_topic": self.env.get("HOOKLANE_TOPIC_PREFIX", "") + EVENTS.name,
            "pids": self._supervisor.pids(),
            "workspaces": self._accounts,
            OPERATOR_KEY: self._operator_key,
        }

    @property
    def _logs_dir(self) -> Path:
        return self._options.state_dir / "logs"

    def _servers(self) -> tuple[str, str, list[Child]]:
        """Return the addresses of Kafka and MongoDB, and which of them are ours to start."""
        options = self._options
        servers: list[Child] = []
        bootstrap, uri = options.kafka_bootstrap, options.mongo_uri
        if bootstrap is None:
            kafka = Kafka(
                options.state_dir / "kafka",
                logs_dir=self._logs_dir,
                port=options.kafka_port,
                optimise=options.optimise,
            )
            servers.append(kafka)
            bootstrap = kafka.bootstrap
        if uri is None:
            mongo = Mongo(
                options.state_dir / "mongo", logs_dir=self._logs_dir, port=options.mongo_port
            )
            servers.append(mongo)
            uri = mongo.uri
        return bootstrap, uri, servers

    def _on_notice(self, notice: Notice) -> None:
        self._say(notice.text)
        if notice.kind == "restarted" and self.dev_json.exists():
            write_private(self.dev_json, self.describe())  # process ids have changed


async def _create_topics(settings: Settings) -> None:
    try:
        await create_topics(settings)
    except (HooklaneError, KafkaError, TimeoutError) as error:
        raise LocalError(f"the topics could not be made: {error}") from error


def _settings(env: Mapping[str, str]) -> Settings:
    try:
        return load(env)
    except ConfigError as error:
        raise LocalError(str(error)) from error


def _service_env(
    options: Options, kept: Mapping[str, str], bootstrap: str, uri: str, gateway_port: int
) -> dict[str, str]:
    """Return the services' settings: development's defaults, what was given, what is fixed."""
    development = {
        "HOOKLANE_REQUIRE_HTTPS": "false",
        "HOOKLANE_EGRESS_ALLOW": "127.0.0.0/8,::1/128",
    }
    fixed = {
        "HOOKLANE_KAFKA_BOOTSTRAP": bootstrap,
        "HOOKLANE_MONGO_URI": uri,
        "HOOKLANE_GATEWAY_PORT": str(gateway_port),
    }
    return {**development, **kept, **options.settings, **fixed}


class _Secrets(NamedTuple):
    """What the services of a folder are told, and the operator's key, which they are not."""

    env: Mapping[str, str]
    operator_key: str


def _local_secrets(state_dir: Path) -> _Secrets:
    """Return this folder's key ring, token secret and operator's key, each made once."""
    path = state_dir / "secrets.json"
    kept: dict[str, str] = {}
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    fresh = {
        "HOOKLANE_SECRET_KEYS": f"local:{key}",
        "HOOKLANE_JWT_SECRET": secrets.token_urlsafe(32),
        OPERATOR_KEY: secrets.token_urlsafe(32),
    }
    content = {**fresh, **kept}
    if content != kept:
        write_private(path, content)
    operator_key = content.pop(OPERATOR_KEY)
    digest = sha256(operator_key.encode()).hexdigest()
    return _Secrets({**content, "HOOKLANE_OPERATOR_KEY_SHA256": digest}, operator_key)
