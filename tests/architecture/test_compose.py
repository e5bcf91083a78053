"""Compose file, Dockerfile and what they mount against the code and the documents.

That Docker Compose understands its file is checked by ``.ci/run`` with that program, that images
can be built and run by ``tests/images``; here is what neither can know.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import msgspec
import pytest
import yaml

from deploy.compose import receiver
from deploy.local.jars import COORDINATES
from deploy.local.services import NAMES
from shared.config import PREFIX, Settings, load
from shared.runtime import CLOSE_WITHIN_S
from tests.architecture.repository import ROOT


class Found(msgspec.Struct, forbid_unknown_fields=True):
    """Where Prometheus finds what it scrapes."""

    names: list[str]
    type: Literal["A"]
    port: int
    refresh_interval: str


class Scrape(msgspec.Struct, forbid_unknown_fields=True):
    """A job of Prometheus."""

    job_name: str
    dns_sd_configs: list[Found]
    relabel_configs: list[dict[str, Any]]


class Prometheus(msgspec.Struct, forbid_unknown_fields=True):
    """Its configuration, as far as ours goes: a misspelt member is refused."""

    scrape_configs: list[Scrape]
    rule_files: list[str]
    global_: dict[Literal["scrape_interval", "evaluation_interval"], str] = msgspec.field(
        name="global"
    )


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


COMPOSE: Final[Any] = yaml.safe_load(_text("docker-compose.yml"))
SERVICES: Final[Mapping[str, Any]] = COMPOSE["services"]
DOCKERFILE: Final = _text("Dockerfile")
STOP_S: Final = Settings().drain_timeout_ms / 1000 + CLOSE_WITHIN_S
HEALTH_PORT: Final = 8081
SECRET_KEYS: Final = "k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
DATABASE_USERS: Final = {"gateway", "recorder"}

each_service = pytest.mark.parametrize("service", NAMES)
each_container = pytest.mark.parametrize("name", SERVICES)


def _image_settings() -> dict[str, str]:
    """Return the settings that the image itself makes."""
    return dict(re.findall(rf"\b({PREFIX}\w+)=(\S+)", DOCKERFILE))


def _settings(service: str) -> Settings:
    """Return what a service of the Compose file reads; raises for what it would refuse."""
    given = {"HOOKLANE_SECRET_KEYS": SECRET_KEYS, "HOOKLANE_JWT_SECRET": "a secret of some length"}
    environment = {
        name: given.get(name, value.partition(":-")[2].removesuffix("}"))
        if value.startswith("${")
        else value
        for name, value in SERVICES[service]["environment"].items()
    }
    return load({**_image_settings(), **environment})


def _in_profile(profile: str | None) -> set[str]:
    wanted = [profile] if profile else []
    return {name for name, described in SERVICES.items() if described.get("profiles", []) == wanted}


def _mounts() -> Iterator[tuple[str, str]]:
    """Yield what is mounted from the repository: container and path."""
    for name, described in SERVICES.items():
        for volume in described.get("volumes", []):
            if volume.startswith("./"):
                yield name, volume.removeprefix("./").partition(":")[0]


def test_compose_runs_everything_and_more_by_profile() -> None:
    assert _in_profile(None) == {*NAMES, "kafka", "mongo", "topics"}
    assert _in_profile("demo") == {"demo"}
    assert _in_profile("observe") == {"prometheus", "grafana"}
    assert set(SERVICES) == _in_profile(None) | _in_profile("demo") | _in_profile("observe")


def test_compose_runs_the_kafka_that_the_tests_run() -> None:
    version = SERVICES["kafka"]["image"].partition(":")[2]

    assert f"org.apache.kafka:kafka_2.13:{version}" in COORDINATES


@each_container
def test_an_image_is_ours_or_pinned_to_a_full_version(name: str) -> None:
    image = SERVICES[name]["image"]
    service = SERVICES[name].get("build", {}).get("args", {}).get("SERVICE")

    assert image == f"hooklane-{service}" or re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", image)


def test_the_base_of_our_images_is_pinned_to_a_full_version_and_its_digest() -> None:
    assert re.search(r"^ARG BASE=python:\d+\.\d+\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)
    assert re.search(r"^ARG DIGEST=@sha256:[0-9a-f]{64}$", DOCKERFILE, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${BASE}${DIGEST}"}


@each_service
def test_a_service_accepts_the_settings_of_its_image_and_of_compose(service: str) -> None:
    settings = _settings(service)

    assert (settings.health_host, settings.health_port) == ("0.0.0.0", HEALTH_PORT)
    assert settings.gateway_host == "0.0.0.0"
    assert settings.secret_keys == SECRET_KEYS


@each_container
def test_compose_says_no_secret(name: str) -> None:
    secret = re.compile(r"SECRET|PASSWORD|TOKEN|_KEYS?$")
    environment = SERVICES[name].get("environment", {})
    said = {key: text for key, text in environment.items() if secret.search(key)}

    assert {key for key, text in said.items() if not text.startswith("${")} <= {
        "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"
    }


@each_service
def test_a_service_may_take_its_time_to_drain(service: str) -> None:
    grace = SERVICES[service]["stop_grace_period"]

    assert float(grace.removesuffix("s")) > STOP_S


@pytest.mark.parametrize("name", [*NAMES, "topics", "demo"])
def test_a_container_of_ours_has_no_more_rights_than_it_needs(name: str) -> None:
    described = SERVICES[name]

    assert described["read_only"] is True
    assert described["cap_drop"] == ["ALL"]
    assert described["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in described  # the image's, which is not root


def test_the_image_is_not_roots_and_needs_no_shell() -> None:
    cmd, check = re.findall(r"^ *(?:CMD) (.*)$", DOCKERFILE, re.MULTILINE)[::-1]

    assert "USER 10001:10001\n" in DOCKERFILE
    assert "STOPSIGNAL SIGTERM\n" in DOCKERFILE
    assert ast.literal_eval(cmd)[0] == "python"
    assert ast.literal_eval(check) == ["python", "-m", "shared.observe.probe"]


@each_container
def test_a_container_is_limited_and_asked_whether_it_is_well(name: str) -> None:
    """A service's own health check is its image's."""
    described = SERVICES[name]

    assert re.fullmatch(r"\d+[mg]", described["mem_limit"])
    assert ("healthcheck" in described) == (name not in NAMES)


@each_service
def test_a_service_waits_for_its_topics_and_for_a_database_only_if_it_has_one(service: str) -> None:
    awaited = {name: how["condition"] for name, how in SERVICES[service]["depends_on"].items()}

    assert awaited.pop("topics") == "service_completed_successfully"
    assert awaited == ({"mongo": "service_healthy"} if service in DATABASE_USERS else {})


@each_container
def test_what_is_published_is_published_to_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_what_is_mounted_is_in_the_repository() -> None:
    assert [path for _, path in _mounts() if not (ROOT / path).exists()] == []


def test_the_demo_receiver_is_where_the_guide_sends_webhooks_to() -> None:
    guide = _text("deploy/README.md")
    (network,) = COMPOSE["networks"]["receivers"]["ipam"]["config"]

    assert f"HOOKLANE_EGRESS_ALLOW={network['subnet']}\n" in guide
    assert f"http://demo:{receiver.PORT}/qr3" in guide
    assert SERVICES["demo"]["networks"] == ["receivers"]
    assert {name for name in NAMES if "networks" in SERVICES[name]} == {"delivery"}


def test_prometheus_scrapes_every_service_and_has_the_alerts() -> None:
    document = yaml.safe_load(_text("deploy/compose/prometheus.yml"))
    (job,) = msgspec.convert(document, Prometheus).scrape_configs
    (found,) = job.dns_sd_configs
    (folder,) = [place for name, place in _mounts() if name == "prometheus" and "." not in place]

    assert set(found.names) == set(NAMES)
    assert found.port == HEALTH_PORT
    assert job.relabel_configs == [{"source_labels": ["__meta_dns_name"], "target_label": "job"}]
    assert document["rule_files"] == [f"{folder.rpartition('/')[2]}/*.yaml"]


def test_images_are_made_from_what_is_listed() -> None:
    first, *listed = [
        line for line in _text(".dockerignore").splitlines() if not line.startswith("#")
    ]
    copied = re.findall(r"^COPY (?!--from)([^/\s]+)", DOCKERFILE, re.MULTILINE)

    assert first == "*"
    assert {line.strip("!/") for line in listed if line.startswith("!")} == set(copied)
