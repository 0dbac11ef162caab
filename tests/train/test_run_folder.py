"""The folder of a run: it outlives what stops, refuses what is not its own, and goes when all is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.errors import DataError, OutputError
from edgekit.train.run_folder import run_folder

IDENTITY = {"seed": 0, "data": "abc"}


def stop(folder: Path, identity: dict[str, object] = IDENTITY) -> None:
    """A run that decodes its images and is stopped then."""
    with pytest.raises(KeyboardInterrupt), run_folder(folder, identity) as run:  # noqa: PT012
        run.pixels.write_bytes(b"pixels")
        run.note_decoded({"kept": [[0]], "skipped": []})
        raise KeyboardInterrupt


def test_without_a_folder_nothing_is_left() -> None:
    with run_folder(None, IDENTITY) as run:
        assert not run.keep
        assert run.decoded() is None
        run.pixels.write_bytes(b"pixels")
        path = run.path
    assert not path.exists()


def test_a_stopped_run_is_found_again_and_a_finished_one_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stop(folder)
    assert (folder / "pixels").read_bytes() == b"pixels"
    with run_folder(folder, IDENTITY) as run:
        assert run.keep
        assert run.decoded() == {"kept": [[0]], "skipped": []}
    assert not folder.exists()


def test_what_is_not_its_own_stays(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stop(folder)
    (folder / "notes.txt").write_text("mine")
    with run_folder(folder, IDENTITY):
        pass
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_another_run_is_refused_and_stays(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stop(folder)
    with pytest.raises(DataError, match="holds another run: its seed is 0, not 1"), run_folder(
        folder, {**IDENTITY, "seed": 1}
    ):
        pass
    assert (folder / "pixels").exists()


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="has files, and none of a training run"), run_folder(tmp_path, IDENTITY):
        pass
    with pytest.raises(OutputError, match="Cannot use --resume"), run_folder(tmp_path / "a" / "b", IDENTITY):
        pass
    with pytest.raises(OutputError, match="Cannot use --resume"), run_folder(tmp_path / "holiday.jpg", IDENTITY):
        pass


def test_a_damaged_identity_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stop(folder)
    (folder / "run.json").write_text("[")
    with pytest.raises(DataError, match=r"run\.json is damaged"), run_folder(folder, IDENTITY):
        pass


def test_a_damaged_note_only_means_to_decode_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stop(folder)
    (folder / "decoded.json").write_text("{")
    with run_folder(folder, IDENTITY) as run:
        assert run.decoded() is None
