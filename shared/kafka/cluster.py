"""How Kafka is reached: the one place that knows of TLS, SASL and certificates.

``Cluster.of(settings)`` reads the files that the settings name, once, and refuses a contradiction
with one line. What every aiokafka client is made with comes from ``client``, so that none can be
made in another way. Certificates and host names are always verified, against the CA file or, where
there is none, against those of the machine; nothing switches that off.

Files that change later are taken by a restart of the service.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final

import msgspec

from shared.config import PREFIX, ConfigError, KafkaSecurity, SaslMechanism, Settings

_CREDENTIALS: Final = ("kafka_username", "kafka_password")
_FILES: Final = ("kafka_ca_file", "kafka_cert_file", "kafka_key_file")


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """A Kafka cluster, and who we are to it.

    ``bootstrap`` lists brokers (``host:port``, commas between them); ``tls`` is there exactly if
    ``security`` is one of the two with TLS. The password does not show in ``repr``.
    """

    bootstrap: str
    security: KafkaSecurity = "plaintext"
    mechanism: SaslMechanism = "SCRAM-SHA-512"
    username: str = ""
    password: str = ""
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, settings: Settings) -> Cluster:
        """Return the cluster that the settings name; raises ConfigError for what cannot work."""
        _check(settings)
        secured = settings.kafka_security in {"ssl", "sasl_ssl"}
        return cls(
            bootstrap=settings.kafka_bootstrap,
            security=settings.kafka_security,
            mechanism=settings.kafka_sasl_mechanism,
            username=settings.kafka_username,
            password=settings.kafka_password,
            tls=_context(settings) if secured else None,
        )

    def __repr__(self) -> str:
        who = f" as {self.username!r}" if self.has_login else ""
        return f"Cluster({self.bootstrap!r}, {self.security}{who})"

    @property
    def has_login(self) -> bool:
        """Return whether we say who we are by a user name."""
        return self.security.startswith("sasl_")

    @property
    def client(self) -> dict[str, Any]:
        """Return the keyword arguments of an aiokafka consumer, producer or admin client."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": self.security.upper(),
            "ssl_context": self.tls,
        }
        if self.has_login:
            arguments |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return arguments


def _check(settings: Settings) -> None:
    """Refuse settings that contradict each other."""
    security = settings.kafka_security
    takes_login, takes_files = security.startswith("sasl_"), security in {"ssl", "sasl_ssl"}
    for name in _CREDENTIALS:
        if takes_login and not getattr(settings, name):
            raise ConfigError(
                f"{_variable(name)} is empty, and HOOKLANE_KAFKA_SECURITY={security} needs it"
            )
        if not takes_login and getattr(settings, name):
            raise ConfigError(
                f"{_variable(name)} is of no use with HOOKLANE_KAFKA_SECURITY={security}: "
                "set that to sasl_ssl, or leave the user out"
            )
    for name in _FILES:
        if not takes_files and getattr(settings, name):
            raise ConfigError(
                f"{_variable(name)} is of no use with HOOKLANE_KAFKA_SECURITY={security}: "
                "set that to ssl or sasl_ssl, or leave the file out"
            )
    if settings.kafka_key_file and not settings.kafka_cert_file:
        raise ConfigError(
            "HOOKLANE_KAFKA_KEY_FILE has no certificate: set HOOKLANE_KAFKA_CERT_FILE, too"
        )


def _context(settings: Settings) -> ssl.SSLContext:
    """Return what connections are secured with; raises ConfigError for files of no use."""
    for name in _FILES:
        path = getattr(settings, name)
        if path and not Path(path).is_file():
            raise ConfigError(f"{_variable(name)}={path!r} is no file: give the path of a PEM file")
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca_file or None)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            f"HOOKLANE_KAFKA_CA_FILE={settings.kafka_ca_file!r} has no certificate that can be "
            f"read ({_reason(error)}): give the PEM file of the brokers' CA"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.kafka_cert_file:
        _load_own(context, settings)
    return context


def _load_own(context: ssl.SSLContext, settings: Settings) -> None:
    """Load the certificate that says who we are; its key may be in the same file."""
    try:
        # A password is given so that OpenSSL does not ask for one on the terminal.
        context.load_cert_chain(settings.kafka_cert_file, settings.kafka_key_file or None, "")
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            f"HOOKLANE_KAFKA_CERT_FILE={settings.kafka_cert_file!r} cannot be used "
            f"({_reason(error)}): give a PEM certificate, and in HOOKLANE_KAFKA_KEY_FILE the "
            "unencrypted key that belongs to it"
        ) from None


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or error)
