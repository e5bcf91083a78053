"""What each service may do on Kafka, and no more: made of the topic table.

A cluster that denies by default needs these permissions and no others: a topic's readers read it,
its writers write it, a service that shares work has its consumer groups, and the topic job creates
what is missing. Nobody is allowed anything on the cluster itself, nobody uses transactions, and no
service may delete or alter. To read or write a topic includes to be told about it.

``python -m shared.kafka.acls`` prints commands for Kafka's own ``kafka-acls``; with ``--strimzi``,
``KafkaUser`` resources (JSON, which ``kubectl apply -f -`` takes). Both have the environment's
topic prefix and retry tiers. Users are called ``hooklane-<role>``, or what ``--users`` says instead
of ``hooklane-``.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final, Literal

import msgspec

from shared.config import Settings, load
from shared.kafka.names import group_name, topic_name
from shared.models.errors import HooklaneError
from shared.topics import table

Operation = Literal["Create", "Describe", "Read", "Write"]
Resource = Literal["topic", "group"]

SERVICES: Final = ("gateway", "fanout", "delivery", "retry", "recorder")
TOPICS_JOB: Final = "topics"
OTHERS: Final = ("producers", "customers", "people")
"""Who else the topic table names. Consumer groups of theirs are for you to add: you name them."""

ROLES: Final = (*SERVICES, TOPICS_JOB, *OTHERS)
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "fanout": ("fanout",),
    "delivery": ("delivery",),
    "retry": ("retry",),
    "recorder": ("recorder", "recorder-rejected"),
}
"""The consumer groups of each service, as ``shared.kafka.names.group_name`` takes them."""

_TOPICS_JOB_MAY: Final[tuple[Operation, ...]] = ("Create", "Describe")
_USERS: Final = "hooklane-"
_COMMAND: Final = 'kafka-acls --bootstrap-server "$KAFKA" --command-config admin.properties --add'


class Grant(msgspec.Struct, frozen=True, order=True):
    """One permission: ``role`` may do ``operation`` with the resource of exactly this name."""

    role: str
    resource: Resource
    operation: Operation
    name: str


def grants(settings: Settings) -> list[Grant]:
    """Return every permission of a deployment, ordered by role."""
    found: list[Grant] = []
    for topic in table(settings.tiers):
        name = topic_name(settings, topic)
        found += [Grant(role, "topic", "Read", name) for role in topic.readers]
        found += [Grant(role, "topic", "Write", name) for role in topic.writers]
        found += [Grant(TOPICS_JOB, "topic", operation, name) for operation in _TOPICS_JOB_MAY]
    for role, groups in GROUPS.items():
        found += [Grant(role, "group", "Read", group_name(settings, group)) for group in groups]
    return sorted(found, key=lambda grant: (ROLES.index(grant.role), grant))


def commands(settings: Settings, users: str = _USERS) -> Iterator[str]:
    """Yield ``kafka-acls`` commands that grant everything: one for each role and operation."""
    alike = groupby(grants(settings), key=lambda one: (one.role, one.resource, one.operation))
    for (role, resource, operation), members in alike:
        arguments = ["--allow-principal", f"User:{users}{role}", "--operation", operation]
        for grant in members:
            arguments += [f"--{resource}", grant.name]
        yield f"{_COMMAND} {shlex.join(arguments)}"


def kafka_users(settings: Settings, users: str = _USERS) -> list[dict[str, Any]]:
    """Return a Strimzi ``KafkaUser`` for each role, with a password that Strimzi makes."""
    made = []
    for role, members in groupby(grants(settings), key=lambda grant: grant.role):
        alike = groupby(sorted(members, key=_place), key=_place)
        acls = [
            {
                "resource": {"type": resource, "name": name, "patternType": "literal"},
                "operations": [grant.operation for grant in same],
            }
            for (resource, name), same in alike
        ]
        made.append(
            {
                "apiVersion": "kafka.strimzi.io/v1",
                "kind": "KafkaUser",
                "metadata": {"name": f"{users}{role}"},
                "spec": {
                    "authentication": {"type": "scram-sha-512"},
                    "authorization": {"type": "simple", "acls": acls},
                },
            }
        )
    return made


def _place(grant: Grant) -> tuple[str, str]:
    return grant.resource, grant.name


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the environment's permissions."""
    parser = argparse.ArgumentParser(prog="hooklane-acls", description="Permissions on Kafka")
    parser.add_argument("--strimzi", action="store_true", help="KafkaUser resources, as JSON")
    parser.add_argument("--users", default=_USERS, help=f"how users' names begin ({_USERS})")
    given = parser.parse_args(arguments)
    try:
        settings = load(os.environ)
    except HooklaneError as error:
        sys.exit(str(error))
    if given.strimzi:
        items = kafka_users(settings, given.users)
        made = msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": items})
        sys.stdout.write(msgspec.json.format(made, indent=2).decode() + "\n")
    else:
        sys.stdout.writelines(f"{command}\n" for command in commands(settings, given.users))


if __name__ == "__main__":
    main()
