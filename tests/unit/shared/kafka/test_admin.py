"""What a topic is made with, which depends on how many brokers have it."""

from __future__ import annotations

import pytest

from shared.config import Settings
from shared.kafka.admin import configs_of
from shared.topics import table


@pytest.mark.parametrize(("copies", "wanted"), [(1, None), (2, None), (3, "2"), (5, "2")])
def test_with_three_copies_two_have_to_be_written(copies: int, wanted: str | None) -> None:
    """With fewer, one broker that is away would stop every write."""
    settings = Settings(replication_factor=copies)
    found = {configs_of(settings, row).get("min.insync.replicas") for row in table(settings.tiers)}
    assert found == {wanted}
