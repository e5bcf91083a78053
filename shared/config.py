"""Configuration: the only reader of the environment.

Each variable is ``HOOKLANE_`` and the field's name in capitals. The environment is read once, at
start, into one frozen struct that is validated as a whole: an unknown ``HOOKLANE_`` variable, a
value of the wrong type or a contradiction is refused with one line that names the variable and the
fix. Secrets do not show in ``repr``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from shared.models.errors import HooklaneError
from shared.topics import DEFAULT_TIERS, Tiers

PREFIX: Final = "HOOKLANE_"

LOCAL_VARIABLES: Final = frozenset(
    {
        "STATE_DIR",
        "KAFKA_PORT",
        "MONGO_PORT",
        "FANOUT_PROCESSES",
        "DELIVERY_PROCESSES",
        "RETRY_PROCESSES",
        "RECORDER_PROCESSES",
        "OPTIMISE",
    }
)
"""Variables of ``make run`` (``deploy/local``); the services accept and ignore them."""

_SECRET_FIELDS: Final = frozenset(
    {"kafka_password", "secret_keys", "jwt_secret", "mongo_uri", "operator_key_sha256"}
)

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Name = Annotated[str, msgspec.Meta(min_length=1)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
ResponseBytes = Annotated[int, msgspec.Meta(ge=1, le=262_144)]  # an attempt's record has to hold it
Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]
TracesUrl = Annotated[str, msgspec.Meta(pattern=r"^(https?://[^\s@]+)?$")]
LogLevel = Literal["debug", "info", "warning", "error"]
KafkaSecurity = Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]
SaslMechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]
AttemptLog = Literal["all", "failures", "none"]


class ConfigError(HooklaneError):
    """The environment cannot be used; the message names the variable and the fix."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of every service, with its default.

    ``secret_keys`` is the key ring, ``id:base64 of 32 bytes`` separated by commas, the first one
    encrypts. ``instance`` tells replicas of a service apart (a StatefulSet's ordinal): with it, a
    restarted worker takes its partitions up again at once.
    """

    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_security: KafkaSecurity = "plaintext"
    kafka_sasl_mechanism: SaslMechanism = "SCRAM-SHA-512"
    kafka_username: str = ""
    kafka_password: str = ""
    kafka_ca_file: str = ""
    kafka_cert_file: str = ""
    kafka_key_file: str = ""
    topic_prefix: str = ""
    partitions: Positive = 12
    replication_factor: Positive = 1
    session_timeout_ms: Positive = 6_000
    instance: str = ""

    mongo_uri: str = "mongodb://127.0.0.1:27017/?w=majority&journal=true"
    mongo_database: str = "hooklane"
    log_retention_days: Positive = 30
    audit_retention_days: Positive = 365

    gateway_host: str = "127.0.0.1"
    gateway_port: Port = 8080
    health_host: str = "127.0.0.1"
    health_port: Port = 0  # 0: any free one, printed at start
    public_url: str = ""
    trusted_proxies: str = ""  # CIDR blocks of the proxies in front of the gateway

    profiles_dir: str = ""
    retry_tiers: str = DEFAULT_TIERS

    secret_keys: str = ""
    jwt_secret: str = ""
    jwt_issuer: str = "hooklane"
    jwt_workspace_claim: Name = "workspace_id"
    jwt_role_claim: Name = "role"
    jwks_url: str = ""
    jwks_issuer: str = ""
    jwks_audience: str = ""
    operator_key_sha256: str = ""  # of the operator's key, in hex; empty: nobody is the operator

    require_https: bool = True
    egress_allow: str = ""  # CIDR blocks that endpoints may resolve to although they are private
    egress_ports: str = ""  # ports that endpoints may use; empty: any

    lane_concurrency: Positive = 32
    inflight_max: Positive = 2_000
    open_records_max: Positive = 100_000
    open_bytes_max: Positive = 256 * 1024 * 1024
    response_body_bytes_max: ResponseBytes = 4_096
    drain_timeout_ms: Positive = 20_000
    log_level: LogLevel = "info"
    attempt_log: AttemptLog = "failures"
    traces_url: TracesUrl = ""  # OTLP over HTTP; empty: nothing is traced
    traces_ratio: Ratio = 0.01
    revision: str = ""  # of the source, as the image says

    def __repr__(self) -> str:
        shown = (
            f"{name}={'…' if name in _SECRET_FIELDS else getattr(self, name)!r}"
            for name in self.__struct_fields__
        )
        return f"Settings({', '.join(shown)})"

    @property
    def tiers(self) -> Tiers:
        """Return the retry tiers."""
        return Tiers.parse(self.retry_tiers)

    @property
    def egress_networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Return the allow-list of networks."""
        return tuple(ipaddress.ip_network(block) for block in _items(self.egress_allow))

    @property
    def proxy_networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Return the networks whose ``X-Forwarded-For`` is believed."""
        return tuple(ipaddress.ip_network(block) for block in _items(self.trusted_proxies))

    @property
    def egress_port_set(self) -> frozenset[int] | None:
        """Return the ports that endpoints may use, None for any."""
        ports = frozenset(_port(text) for text in _items(self.egress_ports))
        return ports or None


def load(environ: Mapping[str, str]) -> Settings:
    """Return the settings in ``environ``; raises ConfigError for anything it cannot use."""
    given = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    fields = {_variable(field): field for field in Settings.__struct_fields__}
    ignored = {_variable(name) for name in LOCAL_VARIABLES}
    unknown = sorted(set(given) - set(fields) - ignored)
    if unknown:
        raise ConfigError(f"{unknown[0]} is not a setting of Hooklane; see .env.example")
    values = {fields[name]: value for name, value in given.items() if name not in ignored}
    converted = {field: _convert(field, value) for field, value in values.items()}
    settings = msgspec.convert(converted, Settings)
    for name in ("tiers", "egress_networks", "egress_port_set", "proxy_networks"):
        _checked(settings, name)
    return settings


def _convert(name: str, value: str) -> object:
    """Return one variable's text as its field's type."""
    annotation = _FIELD_TYPES[name]
    try:
        return msgspec.convert(value.strip(), annotation, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{_variable(name)}={value[:64]!r}: {error}") from None


def _checked(settings: Settings, name: str) -> None:
    try:
        getattr(settings, name)
    except ValueError as error:
        variables = {
            "tiers": "retry_tiers",
            "egress_networks": "egress_allow",
            "egress_port_set": "egress_ports",
            "proxy_networks": "trusted_proxies",
        }
        raise ConfigError(f"{_variable(variables[name])}: {error}") from None


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 65_535):
        raise ValueError(f"{text[:64]!r} is not a port; list numbers from 1 to 65535")
    return int(text)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


_FIELD_TYPES: Final = {field.name: field.type for field in msgspec.structs.fields(Settings)}
