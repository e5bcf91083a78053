"""The permissions on Kafka: as many as the topic table says, and no more."""

from __future__ import annotations

import json

import pytest

from shared.config import Settings
from shared.kafka import acls
from shared.kafka.acls import Grant, commands, grants, kafka_users
from shared.kafka.names import topic_name
from shared.topics import table

SETTINGS = Settings(topic_prefix="eu.", retry_tiers="5s,1m")


def of(role: str) -> set[tuple[str, str, str]]:
    """Return what a role may do."""
    found = (grant for grant in grants(SETTINGS) if grant.role == role)
    return {(grant.resource, grant.operation, grant.name) for grant in found}


def test_a_service_may_read_what_it_reads_and_write_what_it_writes() -> None:
    assert of("retry") == {
        ("topic", "Read", "eu.retry.5s"),
        ("topic", "Read", "eu.retry.1m"),
        ("topic", "Write", "eu.deliveries"),
        ("topic", "Write", "eu.deliveries.dead"),
        ("group", "Read", "eu.hooklane-retry"),
    }


def test_nobody_but_the_topic_job_may_create_and_nobody_may_delete_or_alter() -> None:
    assert {grant.operation for grant in grants(SETTINGS)} == {
        "Create",
        "Describe",
        "Read",
        "Write",
    }
    assert {grant.role for grant in grants(SETTINGS) if grant.operation == "Create"} == {"topics"}
    assert {name for _, may, name in of("topics") if may == "Create"} == {
        topic_name(SETTINGS, row) for row in table(SETTINGS.tiers)
    }


def test_every_role_of_the_topic_table_is_listed() -> None:
    assert {grant.role for grant in grants(SETTINGS)} == set(acls.ROLES)


def test_the_commands_grant_exactly_that() -> None:
    granted = set()
    for command in commands(SETTINGS, "User-"):
        words = command.partition(" --add ")[2].split()
        options = list(zip(words[::2], words[1::2], strict=True))
        (_, principal), (_, operation), *resources = options
        role = principal.removeprefix("User:User-")
        for kind, name in resources:
            granted.add(Grant(role, kind.removeprefix("--"), operation, name))  # type: ignore[arg-type]
    assert granted == set(grants(SETTINGS))


def test_strimzis_users_are_allowed_exactly_that() -> None:
    granted = set()
    for user in kafka_users(SETTINGS):
        role = user["metadata"]["name"].removeprefix("hooklane-")
        for acl in user["spec"]["authorization"]["acls"]:
            kind, name = acl["resource"]["type"], acl["resource"]["name"]
            granted |= {Grant(role, kind, operation, name) for operation in acl["operations"]}
    assert granted == set(grants(SETTINGS))


def test_the_command_prints_both(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKLANE_TOPIC_PREFIX", "eu.")
    monkeypatch.setenv("HOOKLANE_RETRY_TIERS", "5s,1m")
    acls.main([])
    assert capsys.readouterr().out.splitlines() == list(commands(SETTINGS))
    acls.main(["--strimzi"])
    assert json.loads(capsys.readouterr().out)["items"] == kafka_users(SETTINGS)


def test_the_command_refuses_an_environment_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKLANE_RETRY_TIERS", "1m,5s")
    with pytest.raises(SystemExit, match="HOOKLANE_RETRY_TIERS"):
        acls.main([])
