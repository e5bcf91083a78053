"""Real names of topics and consumer groups: the table's name behind the deployment's prefix."""

from __future__ import annotations

from shared.config import Settings
from shared.topics import Topic


def topic_name(settings: Settings, topic: Topic) -> str:
    """Return the name of ``topic`` on the broker."""
    return settings.topic_prefix + topic.name


def group_name(settings: Settings, service: str) -> str:
    """Return the consumer group of ``service``."""
    return f"{settings.topic_prefix}hooklane-{service}"


def group_instance(settings: Settings, service: str) -> str | None:
    """Return the static member id of this replica, or None when replicas have no number.

    With it a restarted worker takes its partitions up again at once instead of after the session
    timeout.
    """
    return f"{service}-{settings.instance}" if settings.instance else None
