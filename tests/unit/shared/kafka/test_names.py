"""Real names: the deployment's prefix, and who is a static member of a group."""

from __future__ import annotations

from shared.config import Settings
from shared.kafka.names import group_instance, group_name, topic_name
from shared.topics import EVENTS


def test_two_deployments_on_one_cluster_share_neither_topics_nor_groups() -> None:
    one, two = Settings(topic_prefix="one."), Settings(topic_prefix="two.")
    assert (topic_name(one, EVENTS), topic_name(Settings(), EVENTS)) == ("one.events", "events")
    assert group_name(one, "fanout") == "one.hooklane-fanout"
    assert group_name(one, "fanout") != group_name(two, "fanout")
    assert group_name(one, "fanout") != group_name(one, "retry")


def test_a_replica_with_a_number_is_a_static_member() -> None:
    assert group_instance(Settings(instance="0"), "delivery") == "delivery-0"
    assert group_instance(Settings(), "delivery") is None
