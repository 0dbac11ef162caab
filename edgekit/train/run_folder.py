"""The folder of a training run: decoded pixels, features, checkpoints. With it, a run that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core import files
from edgekit.core.resume import work_folder

DECODED, PIXELS = "decoded.json", "pixels"
OWN_FILES = (DECODED, PIXELS, "features", "checkpoint.npz", "qat.npz")


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
    with work_folder(resume, identity, OWN_FILES, "training run") as folder:
        yield RunFolder(folder.path, folder.keep)
        folder.clear()
