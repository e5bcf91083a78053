"""Kafka's jars: the lock is sound, and only what it names enters the folder."""

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.local import jars
from deploy.local.errors import LocalError
from deploy.local.jars import Jar

GOOD = b"the jar that was locked"
JAR = Jar("org.example", "thing", "1.0", hashlib.sha256(GOOD).hexdigest())


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that stands for the registry, with a lock of one jar."""
    lock = tmp_path / "test.lock"
    lock.write_text(f"{JAR}\n")
    monkeypatch.setattr(jars, "LOCK", lock)
    source = tmp_path / "registry"
    source.mkdir()
    (source / JAR.file_name).write_bytes(GOOD)

    def download(wanted: Sequence[Jar], into: Path) -> list[Path]:
        names = [jar.file_name for jar in wanted]
        return [Path(shutil.copy(source / name, into)) for name in names]

    monkeypatch.setattr(jars, "_download", download)
    return source


def test_every_line_of_the_lock_is_a_coordinate_with_a_digest() -> None:
    for jar in jars.read_lock():
        assert re.fullmatch(r"[0-9a-f]{64}", jar.sha256), jar
        assert Jar.parse(str(jar)) == jar


def test_the_lock_has_each_coordinate_in_the_version_asked_for() -> None:
    locked = {f"{jar.group}:{jar.artifact}:{jar.version}" for jar in jars.read_lock()}

    assert set(jars.COORDINATES) <= locked


def test_all_parts_of_kafka_are_of_one_version() -> None:
    versions = {jar.version for jar in jars.read_lock() if jar.group == "org.apache.kafka"}

    assert len(versions) == 1


def test_no_two_jars_share_a_name() -> None:
    names = [jar.file_name for jar in jars.read_lock()]

    assert len(set(names)) == len(names)


def test_a_first_call_fetches_and_a_second_needs_no_registry(
    registry: Path, tmp_path: Path
) -> None:
    fetched = jars.ensure(tmp_path / "cache")
    (registry / JAR.file_name).unlink()

    assert jars.is_complete(tmp_path / "cache")
    assert jars.ensure(tmp_path / "cache") == fetched
    assert Path(fetched).read_bytes() == GOOD


@pytest.mark.usefixtures("registry")
def test_an_interrupted_download_is_repaired(tmp_path: Path) -> None:
    path = Path(jars.ensure(tmp_path / "cache"))
    (path.parent / jars.MARKER).unlink()
    path.write_bytes(GOOD[:5])

    assert not jars.is_complete(tmp_path / "cache")
    assert Path(jars.ensure(tmp_path / "cache")).read_bytes() == GOOD


@pytest.mark.usefixtures("registry")
def test_a_jar_that_was_removed_is_fetched_again(tmp_path: Path) -> None:
    Path(jars.ensure(tmp_path / "cache")).unlink()

    assert Path(jars.ensure(tmp_path / "cache")).read_bytes() == GOOD


def test_a_jar_with_another_digest_is_refused_and_not_kept(registry: Path, tmp_path: Path) -> None:
    (registry / JAR.file_name).write_bytes(b"something else")

    with pytest.raises(LocalError, match=r"thing-1\.0\.jar came with another digest"):
        jars.ensure(tmp_path / "cache")

    assert not jars.is_complete(tmp_path / "cache")
    assert not (jars.jars_dir(tmp_path / "cache") / JAR.file_name).exists()


def test_a_registry_out_of_reach_is_one_line_that_names_the_folder(
    registry: Path, tmp_path: Path
) -> None:
    (registry / JAR.file_name).unlink()

    with pytest.raises(LocalError, match="cannot fetch Kafka's jars into") as refusal:
        jars.ensure(tmp_path / "cache")

    assert "\n" not in str(refusal.value)
