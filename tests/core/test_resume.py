"""The folder of a long run. What a training run does with it is tested in `tests/train/test_run_folder.py`."""

from __future__ import annotations

from pathlib import Path

from edgekit.core.resume import work_folder

OWN = ("row-*", "trained*")


def test_what_runs_have_left_is_cleared_and_what_is_not_theirs_stays(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    with work_folder(folder, {"seed": 0}, OWN, "search") as work:
        for name in ("row-1.json", ".row-2.json.123.part"):
            (folder / name).touch()
        (folder / "trained").mkdir()
        (folder / "trained" / "checkpoint").touch()
        (folder / "notes.txt").touch()
        assert work.keep
    assert len(list(folder.iterdir())) == 5  # until the run says that it is done
    work.clear()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_folder_with_nothing_else_goes(tmp_path: Path) -> None:
    with work_folder(tmp_path / "search", {}, OWN, "search") as work:
        (work.path / "row-1.json").touch()
        work.clear()
    assert not (tmp_path / "search").exists()


def test_without_a_folder_nothing_is_left() -> None:
    with work_folder(None, {}, OWN, "search") as work:
        (work.path / "row-1.json").touch()
        work.clear()
        assert work.path.exists()
    assert not work.path.exists()
