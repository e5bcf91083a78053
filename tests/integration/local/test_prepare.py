"""Java's start-up archive: made once, and then used."""

import os
from pathlib import Path

import pytest

from deploy.local import cache, jars, java
from deploy.local.kafka import Kafka
from deploy.local.prepare import make_archive

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(180)]


async def test_kafka_starts_from_the_archive_that_was_made_for_it(tmp_path: Path) -> None:
    _lend_jars(tmp_path)
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    await make_archive(java.archive(tmp_path), tmp_path, scratch)

    strict = ["-XX:AOTMode=on"]  # Java ends with an error if it cannot use the archive
    kafka = Kafka(
        tmp_path / "kafka", logs_dir=tmp_path / "logs", cache_dir=tmp_path, java_flags=strict
    )
    try:
        await kafka.start()
    finally:
        await kafka.kill9()


def _lend_jars(cache_dir: Path) -> None:
    """Fill a cache of the test's own from the user's, without a second download."""
    user_dir = cache.default_dir()
    jars.ensure(user_dir)
    borrowed, own = jars.jars_dir(user_dir), jars.jars_dir(cache_dir)
    own.mkdir()
    for name in (jars.MARKER, *(jar.file_name for jar in jars.read_lock())):
        os.symlink(borrowed / name, own / name)
