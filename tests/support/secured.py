"""Kafka and MongoDB as a careful operator has them: TLS, logins, nothing allowed by default.

Certificates and passwords are made when the tests run. Kafka listens with SASL_SSL for everybody
and with TLS alone for whoever has a certificate (its subject is the user's name then). ``SUITE`` is
the tests' own user, who may use every topic and group; each service's user may do what it is
granted, which is to be what ``shared.kafka.acls`` lists; ``NOBODY`` may do nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from pymongo import AsyncMongoClient

from deploy.local import ports
from deploy.local.kafka import Kafka, Variation
from deploy.local.mongo import Mongo
from shared.config import Settings
from shared.kafka.acls import ROLES, Grant
from shared.kafka.cluster import Cluster
from tests.support.certificates import Authority

SUITE: Final = "suite"
NOBODY: Final = "nobody"
ADMIN: Final = "admin"  # of the cluster: asked for no permission
_BROKER: Final = "broker"
USERS: Final = (ADMIN, _BROKER, SUITE, NOBODY, *(f"hooklane-{role}" for role in ROLES))
MECHANISMS: Final = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
_JAAS: Final = "org.apache.kafka.common.security"
_SCRAM: Final = f"{_JAAS}.scram.ScramLoginModule required"
_ADMIN_WITHIN_S: Final = 30
_TYPES: Final = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP}
_OPERATIONS: Final = {
    "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE,
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
}


class SecuredKafka:
    """A broker that is secured, and what its users connect with."""

    def __init__(self, authority: Authority, state_dir: Path, *, logs_dir: Path) -> None:
        self._authority = authority
        self._passwords = {user: secrets.token_urlsafe(24) for user in USERS}
        self._server_pem = authority.issue(ports.HOST)
        self.broker = Kafka(
            state_dir,
            logs_dir=logs_dir,
            variation=Variation(
                config=self._config, format_with=self._format_with(), connect=self._as_admin
            ),
        )

    @cached_property
    def certificate_port(self) -> int:
        """The port for whoever has a certificate and no password."""
        return ports.choose()

    def settings(self, user: str = SUITE, mechanism: str = "SCRAM-SHA-512") -> dict[str, Any]:
        """Return the fields of ``Settings`` with which a user connects."""
        return {
            "kafka_bootstrap": self.broker.bootstrap,
            "kafka_security": "sasl_ssl",
            "kafka_sasl_mechanism": mechanism,
            "kafka_username": user,
            "kafka_password": self._passwords[user],
            "kafka_ca_file": str(self._authority.file),
        }

    def certificate_settings(self, user: str) -> dict[str, Any]:
        """Return the fields of ``Settings`` with which a user connects by a certificate."""
        return {
            "kafka_bootstrap": f"{ports.HOST}:{self.certificate_port}",
            "kafka_security": "ssl",
            "kafka_ca_file": str(self._authority.file),
            "kafka_cert_file": str(self._authority.issue(user)),
        }

    async def start(self) -> None:
        """Start the broker, with a suite that may do everything and nobody else anything."""
        await self.broker.start()
        kinds = (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID)
        await self._add([_binding(kind, "*", SUITE, AclOperation.ALL) for kind in kinds])

    async def grant(self, grants: Iterable[Grant]) -> None:
        """Give roles their permissions."""
        await self._add([_binding(*_place(one)) for one in grants])

    async def take_away(self, grants: Iterable[Grant]) -> None:
        """Take permissions back."""
        await self._all(
            self._admin.delete_acls(
                [_pattern(*_place(one)) for one in grants], request_timeout=_ADMIN_WITHIN_S
            )
        )

    async def permissions(self, user: str) -> set[tuple[str, str, str]]:
        """Return what a user may do: kind of resource, its name, operation."""
        anything = _pattern(ResourceType.ANY, None, user, AclOperation.ANY)
        found = self._admin.describe_acls(anything, request_timeout=_ADMIN_WITHIN_S)
        return {
            (one.restype.name.lower(), one.name, one.operation.name.title())
            for one in await asyncio.to_thread(found.result)
        }

    async def set_password(self, user: str, password: str) -> None:
        """Change a user's password, for all who log in from now on by ``SCRAM-SHA-512``."""
        self._passwords[user] = password
        how = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4_096)
        change = UserScramCredentialUpsertion(user, how, password.encode())
        await self._all(
            self._admin.alter_user_scram_credentials([change], request_timeout=_ADMIN_WITHIN_S)
        )

    def properties(self, user: str) -> str:
        """Return the configuration with which Kafka's own tools connect as a user."""
        login = f'username="{user}" password="{self._passwords[user]}"'
        return (
            "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n"
            f"sasl.jaas.config={_SCRAM} {login};\n"
            f"ssl.truststore.type=PEM\nssl.truststore.location={self._authority.file}\n"
        )

    async def _add(self, bindings: Sequence[AclBinding]) -> None:
        await self._all(self._admin.create_acls(list(bindings), request_timeout=_ADMIN_WITHIN_S))

    @staticmethod
    async def _all(made: Mapping[Any, Future[Any]]) -> None:
        """Wait until each of these changes is made; raises what went wrong with one."""
        await asyncio.gather(*(asyncio.to_thread(one.result) for one in made.values()))

    @cached_property
    def _admin(self) -> AdminClient:
        return AdminClient(
            {
                "bootstrap.servers": self.broker.bootstrap,
                "security.protocol": "SASL_SSL",
                "sasl.mechanisms": "SCRAM-SHA-512",
                "sasl.username": ADMIN,
                "sasl.password": self._passwords[ADMIN],
                "ssl.ca.location": str(self._authority.file),
            }
        )

    def _as_admin(self, _: str) -> Cluster:
        return Cluster.of(Settings(**self.settings(ADMIN)))

    def _format_with(self) -> list[str]:
        scram = [
            f"{mechanism}=[name={user},password={password}]"
            for user, password in self._passwords.items()
            for mechanism in MECHANISMS[:2]
        ]
        return ["--standalone", *(word for one in scram for word in ("--add-scram", one))]

    def _config(self, port: int, controller_port: int) -> dict[str, str | int]:
        names = {
            "BROKER": port,
            "CERTIFICATE": self.certificate_port,
            "CONTROLLER": controller_port,
        }
        listeners = ",".join(f"{name}://{ports.HOST}:{number}" for name, number in names.items())
        own = f'username="{_BROKER}" password="{self._passwords[_BROKER]}"'
        users = " ".join(f'user_{user}="{word}"' for user, word in self._passwords.items())
        plain = f"{_JAAS}.plain.PlainLoginModule required {own} {users};"
        return {
            "listeners": listeners,
            "advertised.listeners": listeners,
            "listener.security.protocol.map": "BROKER:SASL_SSL,CERTIFICATE:SSL,CONTROLLER:SASL_SSL",
            "sasl.enabled.mechanisms": ",".join(MECHANISMS),
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.mechanism.controller.protocol": "PLAIN",
            "listener.name.broker.plain.sasl.jaas.config": plain,
            "listener.name.controller.plain.sasl.jaas.config": plain,
            "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
            **{
                f"listener.name.broker.{mechanism.lower()}.sasl.jaas.config": f"{_SCRAM};"
                for mechanism in MECHANISMS[:2]
            },
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._server_pem),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._authority.file),
            "listener.name.certificate.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]+)$/$1/",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:{_BROKER};User:{ADMIN}",
        }


class SecuredMongo:
    """A MongoDB with TLS and logins. Its server knows no roles: whoever may log in may do all."""

    def __init__(self, authority: Authority, state_dir: Path, *, logs_dir: Path) -> None:
        self._authority = authority
        self.password = f"{secrets.token_urlsafe(12)}@:/%"  # which a URI has to encode
        pem = str(authority.issue(ports.HOST))
        self._with_tls = ("--tls-cert-file", pem, "--tls-key-file", pem)
        self._where = {"state_dir": state_dir, "logs_dir": logs_dir}
        self.server = self._listening(0, "--auth")

    @property
    def uri(self) -> str:
        """The connection string, with a login."""
        return self.uri_with(f"{SUITE}:{quote(self.password, safe='')}@")

    def uri_with(self, login: str = "", options: str | None = None) -> str:
        """Return the connection string with another login, or with other options for TLS."""
        tls = f"tls=true&tlsCAFile={self._authority.file}" if options is None else options
        return f"mongodb://{login}{ports.HOST}:{self.server.port}/?{tls}"

    async def start(self) -> None:
        """Start the server; at the first time make its user, before it asks for logins."""
        if not self._where["state_dir"].exists():
            open_to_all = self._listening(self.server.port)
            await open_to_all.start()
            await self._make_user()
            await open_to_all.stop()
        await self.server.start()

    async def _make_user(self) -> None:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(self.uri_with())
        async with client:
            made = {"createUser": SUITE, "pwd": self.password, "roles": ["root"]}
            await client.admin.command(made)

    def _listening(self, port: int, *options: str) -> Mongo:
        tls = self._authority.client_tls()
        return Mongo(**self._where, port=port, options=(*self._with_tls, *options), tls=tls)


def _place(grant: Grant) -> tuple[ResourceType, str, str, AclOperation]:
    operation = _OPERATIONS[grant.operation]
    return _TYPES[grant.resource], grant.name, f"hooklane-{grant.role}", operation


def _binding(kind: ResourceType, name: str, user: str, operation: AclOperation) -> AclBinding:
    literal, allow = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
    return AclBinding(kind, name, literal, f"User:{user}", "*", operation, allow)


def _pattern(
    kind: ResourceType, name: str | None, user: str, operation: AclOperation
) -> AclBindingFilter:
    """Return what finds permissions; without a name, whatever they are for."""
    return AclBindingFilter(
        kind,
        name,  # type: ignore[arg-type]
        ResourcePatternType.ANY,
        f"User:{user}",
        None,  # type: ignore[arg-type]
        operation,
        AclPermissionType.ANY,
    )
