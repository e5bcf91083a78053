"""The environment is read as a whole; what cannot be used is one line with variable and fix."""

from __future__ import annotations

import ipaddress

import msgspec
import pytest

from shared.config import LOCAL_VARIABLES, ConfigError, Settings, load


def test_an_empty_environment_gives_the_defaults() -> None:
    assert load({}) == Settings()


def test_variables_of_others_are_of_no_account() -> None:
    assert load({"PATH": "/bin", "KAFKA_BOOTSTRAP": "x", "MY_HOOKLANE_X": "1"}) == Settings()


def test_each_kind_of_value_is_read() -> None:
    settings = load(
        {
            "HOOKLANE_KAFKA_BOOTSTRAP": " a:1,b:2 ",
            "HOOKLANE_PARTITIONS": " 24 ",
            "HOOKLANE_HEALTH_PORT": "0",
            "HOOKLANE_REQUIRE_HTTPS": "false",
            "HOOKLANE_RETRY_TIERS": "1s,2s",
            "HOOKLANE_LOG_LEVEL": "debug",
        }
    )
    assert settings == Settings(
        kafka_bootstrap="a:1,b:2",
        partitions=24,
        health_port=0,
        require_https=False,
        retry_tiers="1s,2s",
        log_level="debug",
    )
    assert [tier.delay_ms for tier in settings.tiers.all] == [1_000, 2_000]


@pytest.mark.parametrize("name", sorted(LOCAL_VARIABLES))
def test_what_only_make_run_uses_is_accepted_and_ignored(name: str) -> None:
    assert load({f"HOOKLANE_{name}": "whatever"}) == Settings()


@pytest.mark.parametrize(
    "name", ["HOOKLANE_KAFKA_BOOTSTRAPP", "HOOKLANE_", "HOOKLANE_kafka_bootstrap"]
)
def test_an_unknown_variable_is_refused_by_its_name(name: str) -> None:
    """A misspelt one would otherwise be a default that nobody wanted."""
    with pytest.raises(
        ConfigError, match=f"^{name} is not a setting of Hooklane; see .env.example$"
    ):
        load({name: "x"})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PARTITIONS", "twelve", "Expected `int`"),
        ("PARTITIONS", "", "Expected `int`"),
        ("PARTITIONS", "1.5", "Expected `int`"),
        ("PARTITIONS", "0", ">= 1"),
        ("PARTITIONS", "-3", ">= 1"),
        ("GATEWAY_PORT", "65536", "<= 65535"),
        ("GATEWAY_PORT", "-1", ">= 0"),
        ("REQUIRE_HTTPS", "yes", "Expected `bool`"),
        ("RESPONSE_BODY_BYTES_MAX", "1000000000", "<= 262144"),
        ("LOG_LEVEL", "verbose", "Invalid enum value 'verbose'"),
        ("RETRY_TIERS", "5m,1m", "from the shortest to the longest"),
        ("RETRY_TIERS", "", "from the shortest to the longest"),
        ("EGRESS_ALLOW", "10.0.0.1/8", "host bits"),
        ("EGRESS_ALLOW", "10.0.0.0/8,localhost", "localhost"),
        ("EGRESS_PORTS", "443,https", "'https' is not a port"),
        ("EGRESS_PORTS", "0", "'0' is not a port"),
        ("EGRESS_PORTS", "65536", "'65536' is not a port"),
        ("EGRESS_PORTS", "-1", "'-1' is not a port"),
    ],
)
def test_a_bad_value_is_refused_with_its_variable(name: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load({f"HOOKLANE_{name}": value})
    assert str(raised.value).startswith(f"HOOKLANE_{name}")
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_lists_are_read() -> None:
    settings = load(
        {"HOOKLANE_EGRESS_ALLOW": "127.0.0.0/8, fd00::/8,", "HOOKLANE_EGRESS_PORTS": "443, 8443"}
    )
    assert settings.egress_networks == (
        ipaddress.ip_network("127.0.0.0/8"),
        ipaddress.ip_network("fd00::/8"),
    )
    assert settings.egress_port_set == frozenset({443, 8443})
    assert Settings().egress_port_set is None


def test_secrets_do_not_show() -> None:
    """The settings are logged at start."""
    settings = load(
        {
            "HOOKLANE_SECRET_KEYS": "a:SECRET1",
            "HOOKLANE_JWT_SECRET": "SECRET2",
            "HOOKLANE_MONGO_URI": "mongodb://user:SECRET3@host/",
            "HOOKLANE_KAFKA_PASSWORD": "SECRET4",
            "HOOKLANE_KAFKA_BOOTSTRAP": "shown:9092",
        }
    )
    for text in (repr(settings), str(settings), f"{settings}", f"{settings!r}"):
        assert "SECRET" not in text
        assert "shown:9092" in text
        assert "secret_keys='…'" in text


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().partitions = 3  # type: ignore[misc]


def test_every_default_is_of_its_fields_type() -> None:
    """msgspec does not check defaults."""
    for field in msgspec.structs.fields(Settings):
        assert msgspec.convert(field.default, field.type) == field.default
