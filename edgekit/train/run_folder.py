"""The folder of a training run: decoded pixels, features, checkpoints. With it, a run that was stopped goes on."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core import files
from edgekit.core.errors import DataError, OutputError
from edgekit.runtime.spec import printable

IDENTITY, DECODED, PIXELS = "run.json", "decoded.json", "pixels"
OWN_FILES = (IDENTITY, DECODED, PIXELS, "features", "checkpoint.npz")


@dataclass(frozen=True)
class RunFolder:
    """`keep`: whether what lies in it outlives a run that is stopped."""

    path: Path
    keep: bool

    @property
    def pixels(self) -> Path:
        """All decoded images, one after the other."""
        return self.path / PIXELS

    def decoded(self) -> dict[str, Any] | None:
        """What was noted when all images were decoded; None when they are not, or only in part."""
        try:
            found: dict[str, Any] = json.loads((self.path / DECODED).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return found

    def note_decoded(self, facts: dict[str, Any]) -> None:
        """Note that all images are decoded."""
        files.write_text(self.path / DECODED, json.dumps(facts))


@contextmanager
def run_folder(resume: Path | None, identity: dict[str, Any]) -> Iterator[RunFolder]:
    """A folder for a run: `resume`, which is removed when the run has succeeded, or a temporary one.

    Args:
        identity: what must be the same for a run to go on, as JSON-able values by name.

    Raises:
        DataError: `resume` holds another run, or something else.
        OutputError: it cannot be made.
    """
    if resume is None:
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            yield RunFolder(Path(folder), keep=False)
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
        raise DataError(f"--resume {name} has files, and none of a training run.", "Name an empty or a new folder.")
    else:
        files.write_text(resume / IDENTITY, json.dumps(identity, indent=2, sort_keys=True) + "\n")
    yield RunFolder(resume, keep=True)
    for own in OWN_FILES:
        (resume / own).unlink(missing_ok=True)
    if not any(resume.iterdir()):
        resume.rmdir()


def _require_same(path: Path, identity: dict[str, Any], name: str) -> None:
    try:
        before = json.loads(path.read_text("utf-8"))
        if not isinstance(before, dict):
            raise ValueError
    except (OSError, ValueError) as error:
        raise DataError(
            f"{printable(str(path))} is damaged.", "Remove the folder to train from the beginning."
        ) from error
    differ = [key for key in sorted(identity) if before.get(key) != identity[key]]
    if differ:
        key = differ[0]
        was, now = (printable(str(each))[:60] for each in (before.get(key), identity[key]))
        raise DataError(
            f"--resume {name} holds another run: its {key} is {was}, not {now}.",
            "Repeat the command that began it, name another folder, or remove this one to begin anew.",
        )
