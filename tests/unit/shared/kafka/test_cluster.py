"""How Kafka is reached: what clients are made with, and what is refused at start."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from services.fanout.app import create_app
from shared.config import ConfigError, load
from shared.kafka.cluster import Cluster
from tests.support.certificates import Authority

PASSWORD = "kafkas-own-password"
LOGIN = {"kafka_username": "hooklane-retry", "kafka_password": PASSWORD}


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with Authority.create() as made:
        yield made


def cluster(**given: str) -> Cluster:
    return Cluster.of(load({f"HOOKLANE_{name.upper()}": text for name, text in given.items()}))


def refused(**given: str) -> str:
    """Return the one line that refuses these settings."""
    with pytest.raises(ConfigError) as raised:
        cluster(**given)
    line = str(raised.value)
    assert "\n" not in line
    assert PASSWORD not in line
    return line


def test_without_settings_nothing_is_secured() -> None:
    assert cluster(kafka_bootstrap="a:1,b:2").client == {
        "bootstrap_servers": "a:1,b:2",
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
    }


def test_a_login_is_part_of_what_every_client_is_made_with() -> None:
    assert cluster(kafka_security="sasl_plaintext", **LOGIN).client == {
        "bootstrap_servers": "127.0.0.1:9092",
        "security_protocol": "SASL_PLAINTEXT",
        "ssl_context": None,
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "hooklane-retry",
        "sasl_plain_password": PASSWORD,
    }


@pytest.mark.parametrize("security", ["ssl", "sasl_ssl"])
def test_tls_is_recent_and_verifies_certificates_and_names(
    security: str, authority: Authority
) -> None:
    login = LOGIN if security == "sasl_ssl" else {}
    made = cluster(kafka_security=security, kafka_ca_file=str(authority.file), **login)
    assert isinstance(made.tls, ssl.SSLContext)
    assert made.client["ssl_context"] is made.tls
    assert made.tls.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert made.tls.verify_mode is ssl.CERT_REQUIRED
    assert made.tls.check_hostname
    assert [one["subject"] for one in made.tls.get_ca_certs()] == [
        ((("commonName", "Hooklane tests"),),)
    ]


def test_without_a_ca_file_the_machines_authorities_count() -> None:
    made = cluster(kafka_security="ssl")
    assert made.tls is not None
    assert made.tls.verify_mode is ssl.CERT_REQUIRED
    assert made.tls.check_hostname


def test_a_certificate_of_our_own_may_be_one_file_or_two(
    authority: Authority, tmp_path: Path
) -> None:
    both = authority.issue("hooklane-retry")
    assert cluster(kafka_security="ssl", kafka_cert_file=str(both)).tls is not None
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    text, marker = both.read_text(), "-----BEGIN PRIVATE KEY"
    certificate.write_text(text.partition(marker)[0])
    key.write_text(marker + text.partition(marker)[2])
    files = {"kafka_cert_file": str(certificate), "kafka_key_file": str(key)}
    assert cluster(kafka_security="ssl", **files).tls is not None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"kafka_security": "sasl_ssl"}, "HOOKLANE_KAFKA_USERNAME is empty"),
        (
            {"kafka_security": "sasl_ssl", "kafka_username": "x"},
            "HOOKLANE_KAFKA_PASSWORD is empty",
        ),
        (LOGIN, "HOOKLANE_KAFKA_USERNAME is of no use with HOOKLANE_KAFKA_SECURITY=plaintext"),
        (
            {"kafka_security": "ssl", "kafka_password": PASSWORD},
            "HOOKLANE_KAFKA_PASSWORD is of no use with HOOKLANE_KAFKA_SECURITY=ssl",
        ),
        ({"kafka_ca_file": "/ca.pem"}, "HOOKLANE_KAFKA_CA_FILE is of no use"),
        (
            {"kafka_security": "sasl_plaintext", "kafka_cert_file": "/c.pem", **LOGIN},
            "HOOKLANE_KAFKA_CERT_FILE is of no use with HOOKLANE_KAFKA_SECURITY=sasl_plaintext",
        ),
        (
            {"kafka_security": "ssl", "kafka_key_file": "/k.pem"},
            "HOOKLANE_KAFKA_KEY_FILE has no certificate: set HOOKLANE_KAFKA_CERT_FILE",
        ),
        (
            {"kafka_security": "ssl", "kafka_ca_file": "/no/such/ca.pem"},
            "HOOKLANE_KAFKA_CA_FILE='/no/such/ca.pem' is no file",
        ),
        (
            {"kafka_security": "ssl", "kafka_ca_file": __file__},
            f"HOOKLANE_KAFKA_CA_FILE={__file__!r} has no certificate",
        ),
        (
            {"kafka_security": "ssl", "kafka_cert_file": __file__},
            f"HOOKLANE_KAFKA_CERT_FILE={__file__!r} cannot be used",
        ),
        ({"kafka_security": "tls"}, "HOOKLANE_KAFKA_SECURITY='tls': Invalid enum value"),
        ({"kafka_sasl_mechanism": "GSSAPI"}, "HOOKLANE_KAFKA_SASL_MECHANISM='GSSAPI'"),
    ],
)
def test_what_cannot_work_is_refused_with_the_variable_and_the_fix(
    given: dict[str, str], says: str
) -> None:
    assert refused(**given).startswith(says)


def test_a_certificate_without_its_key_or_with_anothers_is_refused(
    authority: Authority, tmp_path: Path
) -> None:
    both, other = authority.issue("one"), authority.issue("other")
    alone = tmp_path / "tls.crt"
    alone.write_text(both.read_text().partition("-----BEGIN PRIVATE KEY")[0])
    says = f"HOOKLANE_KAFKA_CERT_FILE={str(alone)!r} cannot be used"
    assert refused(kafka_security="ssl", kafka_cert_file=str(alone)).startswith(says)
    mixed = {"kafka_cert_file": str(alone), "kafka_key_file": str(other)}
    assert "KEY_VALUES_MISMATCH" in refused(kafka_security="ssl", **mixed)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(
    authority: Authority, tmp_path: Path
) -> None:
    both, key = authority.issue("one"), tmp_path / "tls.key"
    loaded = load_pem_private_key(both.read_bytes(), None)
    key.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    files = {"kafka_cert_file": str(both), "kafka_key_file": str(key)}
    assert "unencrypted" in refused(kafka_security="ssl", **files)


def test_the_password_does_not_show() -> None:
    made = cluster(kafka_security="sasl_plaintext", **LOGIN)
    for text in (repr(made), str(made), f"{made}"):
        assert PASSWORD not in text
        assert "hooklane-retry" in text


def credentials(made: Cluster) -> Any:
    async def handle(_: object) -> None: ...

    app = create_app(
        group="g",
        cluster=made,
        topic="t",
        session_timeout_ms=6_000,
        instance=None,
        handle=handle,
        joined=lambda: None,
    )
    return app.conf.broker_credentials


async def test_faust_says_who_it_is_as_the_other_clients_do(authority: Authority) -> None:
    assert credentials(cluster()) is None
    over_tls = cluster(kafka_security="ssl", kafka_ca_file=str(authority.file))
    assert credentials(over_tls).context is over_tls.tls
    files = {"kafka_ca_file": str(authority.file)}
    for security in ("sasl_plaintext", "sasl_ssl"):
        made = cluster(
            kafka_security=security,
            kafka_sasl_mechanism="PLAIN",
            **LOGIN,
            **(files if security == "sasl_ssl" else {}),
        )
        found = credentials(made)
        assert found.protocol.value == made.client["security_protocol"]
        assert found.mechanism.value == made.client["sasl_mechanism"]
        assert (found.username, found.password) == ("hooklane-retry", PASSWORD)
        assert found.ssl_context is made.tls
        assert PASSWORD not in repr(found)
