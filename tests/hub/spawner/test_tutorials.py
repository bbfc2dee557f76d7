"""Tutorials come into a workspace, and never over a user's work."""

from __future__ import annotations

from pathlib import Path

import pytest

from swotvre_hub.spawner.tutorials import refresh_tutorials


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "figures").mkdir(parents=True)
    (folder / "01_first.ipynb").write_text("first")
    (folder / "figures" / "map.png").write_bytes(b"map")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "01_first-checkpoint.ipynb").write_text("old")
    return folder


def test_missing_tutorials_are_copied(source: Path, tmp_path: Path) -> None:
    written = refresh_tutorials(source, tmp_path / "home" / "tutorials")
    assert written == [Path("01_first.ipynb"), Path("figures/map.png")]
    assert (tmp_path / "home" / "tutorials" / "figures" / "map.png").read_bytes() == b"map"


def test_an_untouched_copy_is_brought_up_to_date(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "tutorials"
    refresh_tutorials(source, target)
    (source / "01_first.ipynb").write_text("first, second edition")
    assert refresh_tutorials(source, target) == [Path("01_first.ipynb")]
    assert (target / "01_first.ipynb").read_text() == "first, second edition"
    assert refresh_tutorials(source, target) == []


def test_what_the_user_changed_or_deleted_stays_so(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "tutorials"
    refresh_tutorials(source, target)
    (target / "01_first.ipynb").write_text("mine")
    (target / "figures" / "map.png").unlink()
    (source / "01_first.ipynb").write_text("first, second edition")
    assert refresh_tutorials(source, target) == []
    assert (target / "01_first.ipynb").read_text() == "mine"
    assert not (target / "figures" / "map.png").exists()


def test_a_file_that_was_there_before_is_not_ours(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "tutorials"
    target.mkdir()
    (target / "01_first.ipynb").write_text("mine")
    assert refresh_tutorials(source, target) == [Path("figures/map.png")]
    assert (target / "01_first.ipynb").read_text() == "mine"


def test_a_link_that_the_user_made_is_not_followed(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "tutorials"
    target.mkdir()
    (tmp_path / "elsewhere").write_text("precious")
    (target / "01_first.ipynb").symlink_to(tmp_path / "elsewhere")
    refresh_tutorials(source, target)
    assert (tmp_path / "elsewhere").read_text() == "precious"


def test_a_damaged_record_overwrites_nothing(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "tutorials"
    refresh_tutorials(source, target)
    (target / ".swotvre-copied.json").write_text("{")
    (source / "01_first.ipynb").write_text("first, second edition")
    assert refresh_tutorials(source, target) == []
