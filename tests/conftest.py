"""Fixtures of the whole suite: the embedded Kafka and MongoDB, started on first use."""

pytest_plugins = ["tests.support.servers"]
