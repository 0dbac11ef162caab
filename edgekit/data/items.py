"""What the kinds of source have in common: items that can be read, and one order of the labels."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.core import files
from edgekit.core.errors import DataError, ImageError
from edgekit.runtime.images import decode
from edgekit.runtime.spec import MAX_LABEL_CHARACTERS, MAX_LABELS, printable

INTEGER = re.compile(r"-?[0-9]{1,18}")


class Items(Protocol):
    """The images of a source. Reading is safe from several threads at once."""

    def __len__(self) -> int:
        """The number of images."""

    def name(self, index: int) -> str:
        """What to call an image when speaking of it."""

    def read(self, index: int, orientation: str) -> NDArray[np.uint8]:
        """The decoded image, uint8 RGB [H, W, 3], possibly read-only. Raises ImageError."""

    def sha256(self, index: int) -> str:
        """The digest of the image's bytes as they are stored, in hexadecimal. Raises ImageError."""


@dataclass(frozen=True)
class Opened:
    """A source that has been opened. `targets` [N] are indices into `labels`; both are None when it has no labels."""

    items: Items
    labels: tuple[str, ...] | None = None
    targets: NDArray[np.int32] | None = None


class ImageFiles:
    """Image files below one folder, held as their relative paths only."""

    def __init__(self, folder: Path, paths: Sequence[str]) -> None:
        self._folder = folder
        self._paths = paths

    def __len__(self) -> int:
        """The number of files."""
        return len(self._paths)

    def name(self, index: int) -> str:
        """The path, relative to the folder."""
        return self._paths[index]

    def read(self, index: int, orientation: str) -> NDArray[np.uint8]:
        """Decode a file: uint8 RGB [H, W, 3]. Raises ImageError."""
        return decode(self._folder / self._paths[index], orientation=orientation)

    def sha256(self, index: int) -> str:
        """The digest of a file, in hexadecimal. Raises ImageError."""
        path = self._folder / self._paths[index]
        shown = printable(str(path))
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
                raise ImageError(f"{shown} is not a file.")
            return files.sha256(path)
        except OSError as error:
            raise ImageError(f"{shown} cannot be read: {error.strerror or error}.",
                             "Check the path and its permissions.") from None


def sort_labels(names: Iterable[str]) -> tuple[str, ...]:
    """The one order of the class names: by code points, or by number when every name is an integer."""
    distinct = set(names)
    if all(INTEGER.fullmatch(name) for name in distinct):
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    return tuple(sorted(distinct))


def index_labels(names: Sequence[str], source: Path) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """The sorted labels of a source, and every item's index [N] into them.

    Raises:
        DataError: a name that no model file can hold, or too many of them.
    """
    labels = sort_labels(names)
    check_labels(labels, source)
    position = {label: index for index, label in enumerate(labels)}
    return labels, np.fromiter((position[name] for name in names), np.int32, len(names))


def check_labels(labels: Sequence[str], source: Path) -> None:
    """Refuse class names that no model file can hold.

    Raises:
        DataError: a name is empty, too long or not valid Unicode, or there are too many.
    """
    shown = printable(str(source))
    if len(labels) > MAX_LABELS:
        raise DataError(f"{shown} has {len(labels)} classes; {MAX_LABELS} are possible.",
                        "Is the label column really the class?")
    for label in labels:
        if not 0 < len(label) <= MAX_LABEL_CHARACTERS:
            raise DataError(f"{shown} has a class name of {len(label)} characters: {printable(label[:40])!r}.",
                            f"Class names have 1 to {MAX_LABEL_CHARACTERS} characters.")
        try:
            label.encode()
        except UnicodeEncodeError:
            raise DataError(f"{shown} has a class name that is not valid Unicode: {printable(label[:40])!r}.",
                            "Rename the class.") from None
