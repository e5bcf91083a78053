"""The state folder: private, writable, and one process's at a time."""

import stat
from pathlib import Path

import pytest

from deploy.local.errors import LocalError
from deploy.local.state import locked


def test_a_new_folder_is_for_its_owner_only(tmp_path: Path) -> None:
    with locked(tmp_path / "deep" / "state"):
        mode = (tmp_path / "deep" / "state").stat().st_mode

    assert stat.S_IMODE(mode) == 0o700


def test_a_second_holder_is_refused_in_one_line_that_names_the_folder(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(LocalError) as refusal, locked(tmp_path):
        pass

    assert str(tmp_path) in str(refusal.value)
    assert "HOOKLANE_STATE_DIR" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_folder_can_be_held_again_after_its_holder_let_go(tmp_path: Path) -> None:
    with locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path) -> None:
    in_the_way = tmp_path / "state"
    in_the_way.write_text("a file, where the folder should be")

    with pytest.raises(LocalError) as refusal, locked(in_the_way):
        pass

    assert "the state folder cannot be used" in str(refusal.value)
    assert "\n" not in str(refusal.value)
