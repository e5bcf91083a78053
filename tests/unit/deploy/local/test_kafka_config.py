"""The embedded broker's configuration: loopback only, and what Hooklane relies on."""

from deploy.local import java
from deploy.local.kafka import MESSAGE_BYTES_MAX, broker_config

CONFIG = broker_config(9092, 9093, "log")


def test_every_listener_is_on_loopback() -> None:
    for key in ("listeners", "advertised.listeners"):
        addresses = [address.split("://")[1] for address in str(CONFIG[key]).split(",")]

        assert addresses == ["127.0.0.1:9092", "127.0.0.1:9093"]


def test_one_node_holds_the_only_copy_of_everything() -> None:
    factors = {key: value for key, value in CONFIG.items() if key.endswith("replication.factor")}

    assert len(factors) == 3
    assert set(factors.values()) == {1}


def test_no_topic_appears_by_accident() -> None:
    assert CONFIG["auto.create.topics.enable"] == "false"


def test_what_the_broker_accepts_it_can_also_fetch() -> None:
    assert CONFIG["message.max.bytes"] == CONFIG["replica.fetch.max.bytes"] == MESSAGE_BYTES_MAX


def test_java_uses_its_second_compiler_only_when_asked() -> None:
    assert "-XX:TieredStopAtLevel=1" in java.flags(optimise=False)
    assert "-XX:TieredStopAtLevel=1" not in java.flags(optimise=True)
