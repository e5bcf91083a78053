"""A connection string that cannot be used is refused at start, without its password."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymongo.errors import ServerSelectionTimeoutError

from shared.config import ConfigError
from shared.models.errors import Outage
from shared.storage.mongo.client import Mongo, outages


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://user:s3cret/@:@host/",  # not percent-encoded: the driver quotes parts of it
        "mongodb://user:s3cret/w@host:1/",
        "mongodb://user:s3cret%40@host:port/",
        "http://user:s3cret@host/",
        "mongodb://user:s3cret@host/?authMechanism=NONE",
        "mongodb://user:s3cret@host/?tls=maybe",  # would go on without TLS
        "mongodb://user:s3cret@host/?tsl=true",
    ],
)
def test_what_is_no_connection_string_is_refused_without_showing_it(uri: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Mongo(uri, "hooklane")
    line = str(raised.value)
    assert line.startswith("HOOKLANE_MONGO_URI cannot be used (")
    assert "percent-encoded" in line
    assert "\n" not in line
    assert "s3cret" not in line
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("option", ["tlsCAFile", "tlsCertificateKeyFile"])
def test_a_file_that_is_not_there_is_named(option: str, tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    with pytest.raises(ConfigError) as raised:
        Mongo(f"mongodb://user:s3cret@host/?tls=true&{option}={missing}", "hooklane")
    line = str(raised.value)
    assert line.startswith("HOOKLANE_MONGO_URI")
    assert str(missing) in line
    assert "s3cret" not in line


@pytest.mark.parametrize(
    "option", ["tlsInsecure", "tlsAllowInvalidCertificates", "tlsAllowInvalidHostnames"]
)
def test_verification_cannot_be_switched_off(option: str) -> None:
    with pytest.raises(ConfigError, match=f"^HOOKLANE_MONGO_URI has {option}=true") as raised:
        Mongo(f"mongodb://user:s3cret@host/?tls=true&{option}=true", "hooklane")
    assert "tlsCAFile" in str(raised.value)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ("h:1: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: (_ssl.c:1)", True),
        ("h:1: [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] certificate required (_ssl.c:1)", True),
        ("h:1: [SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred (_ssl.c:1)", False),
        ("h:1: connection refused", False),
    ],
)
def test_a_server_that_is_killed_in_a_handshake_refuses_nobody(said: str, refused: bool) -> None:
    with pytest.raises(Outage) as raised, outages():
        raise ServerSelectionTimeoutError(said)
    assert ("refuses us" in str(raised.value)) is refused
