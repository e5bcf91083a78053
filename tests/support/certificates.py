"""A certificate authority for tests, made when they run: nothing secret is kept anywhere."""

from __future__ import annotations

import contextlib
import datetime
import ssl
import tempfile
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """A certificate authority for one test session."""

    def __init__(self, folder: Path, key: ec.EllipticCurvePrivateKey) -> None:
        self._folder = folder
        self._key = key
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hooklane tests")])
        self._made = 0
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._certificate(self._name, key, [], is_authority=True))

    @classmethod
    @contextlib.contextmanager
    def create(cls) -> Iterator[Authority]:
        with tempfile.TemporaryDirectory() as folder:
            yield cls(Path(folder), ec.generate_private_key(ec.SECP256R1()))

    def client_tls(self) -> ssl.SSLContext:
        """Return settings that trust this authority and no other."""
        return ssl.create_default_context(cafile=str(self.file))

    def server_tls(self, *hosts: str) -> ssl.SSLContext:
        """Return a server's settings with a certificate for ``hosts``."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.issue(*hosts))
        return tls

    def issue(self, *hosts: str) -> Path:
        """Return a PEM file with a certificate for ``hosts``, the first its subject, and its key.

        A client's certificate has its user's name instead of a host.
        """
        self._made += 1
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        certificate = self._folder / f"{self._made}.pem"
        certificate.write_bytes(
            self._certificate(subject, key, [_general_name(host) for host in hosts])
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate

    def _certificate(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: list[x509.GeneralName],
        *,
        is_authority: bool = False,
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(authority_id, critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
