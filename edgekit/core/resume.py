"""The folder of a long run: what is in it outlives a run that is stopped, and the same run goes on from there."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core import files
from edgekit.core.errors import DataError, OutputError
from edgekit.runtime.spec import printable

IDENTITY = "run.json"


@dataclass(frozen=True)
class WorkFolder:
    """`keep`: whether what lies in it outlives a run that is stopped; `own`: patterns of the names of its files."""

    path: Path
    keep: bool
    own: tuple[str, ...]

    def clear(self) -> None:
        """Remove what runs have put into a folder that is kept, and the folder itself if nothing else is in it."""
        if not self.keep:
            return
        for pattern in (IDENTITY, *self.own):
            for path in (*self.path.glob(pattern), *self.path.glob(f".{pattern}.*.part")):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        if not any(self.path.iterdir()):
            self.path.rmdir()


@contextmanager
def work_folder(resume: Path | None, identity: dict[str, Any], own: tuple[str, ...], run: str) -> Iterator[WorkFolder]:
    """The folder `resume`, made when missing, or a temporary one that is removed at the end.

    Args:
        identity: what must be the same for a run to go on, as JSON-able values by name.
        own: patterns (`Path.glob`) of the names of the files that the run puts there.
        run: what the run is called in messages, as in "training run".

    Raises:
        DataError: `resume` holds another run, or something else.
        OutputError: it cannot be made.
    """
    if resume is None:
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            yield WorkFolder(Path(folder), False, own)
        return
    name = printable(str(resume))
    try:
        resume.mkdir(exist_ok=True)
        found = {entry.name for entry in resume.iterdir()}
    except OSError as error:
        raise OutputError(f"Cannot use --resume {name}: {error.strerror or error}.", "Name another folder.") from error
    if IDENTITY in found:
        _require_same(resume / IDENTITY, identity, name)
    elif found:
        raise DataError(f"--resume {name} has files, and none of a {run}.", "Name an empty or a new folder.")
    else:
        files.write_text(resume / IDENTITY, json.dumps(identity, indent=2, sort_keys=True) + "\n")
    yield WorkFolder(resume, True, own)


def _require_same(path: Path, identity: dict[str, Any], name: str) -> None:
    try:
        before = json.loads(path.read_text("utf-8"))
        if not isinstance(before, dict):
            raise ValueError
    except (OSError, ValueError) as error:
        raise DataError(f"{printable(str(path))} is damaged.", "Remove the folder to begin anew.") from error
    differ = [key for key in sorted(identity) if before.get(key) != identity[key]]
    if differ:
        key = differ[0]
        was, now = (printable(str(each))[:60] for each in (before.get(key), identity[key]))
        raise DataError(
            f"--resume {name} holds another run: its {key} is {was}, not {now}.",
            "Repeat the command that began it, name another folder, or remove this one to begin anew.",
        )
