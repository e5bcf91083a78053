"""The user's cache folder: its place, and the workshop for what goes into it."""

import fcntl
from pathlib import Path

import pytest

from deploy.local import cache


def test_the_cache_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert cache.default_dir() == tmp_path / "hooklane"


def test_without_xdg_the_cache_is_below_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert cache.default_dir() == tmp_path / ".cache" / "hooklane"


def test_the_workshop_is_empty_even_after_somebody_was_killed_in_it(tmp_path: Path) -> None:
    (tmp_path / "workshop").mkdir()
    (tmp_path / "workshop" / "half").write_text("left behind")

    with cache.workshop(tmp_path) as folder:
        assert list(folder.iterdir()) == []

    assert not folder.exists()


def test_the_workshop_is_one_visitors_at_a_time(tmp_path: Path) -> None:
    with (
        cache.workshop(tmp_path),
        (tmp_path / "lock").open("ab") as lock,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
