"""A data set: images with names and, mostly, labels; opened without reading any image."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import DataError
from edgekit.data.folder import open_folder
from edgekit.data.items import Opened
from edgekit.data.manifest import open_manifest
from edgekit.data.npz import open_npz
from edgekit.runtime.spec import printable

WHAT_TO_NAME = "Name a folder of images, a .csv or .jsonl manifest, or an .npz file."
HOW_TO_LABEL = "Use a folder with one subfolder per class, a manifest with labels, or an .npz file with 'y'."


class Dataset:
    """Images in a fixed order. It holds paths and class indices, never pixels; threads may share it.

    Attributes:
        source: what was opened.
        labels: the class names in their order, fixed when the source was opened; None without labels.
    """

    def __init__(self, source: Path, opened: Opened) -> None:
        self.source = source
        self.labels = opened.labels
        self._items = opened.items
        self._targets = opened.targets
        self._indices = np.arange(len(opened.items))
        self._digests: dict[int, str] = {}

    def __len__(self) -> int:
        """The number of images."""
        return len(self._indices)

    def name(self, index: int) -> str:
        """What to call an image in messages: its path, relative to the source. Safe to print."""
        return printable(self._items.name(int(self._indices[index])))

    def label(self, index: int) -> int | None:
        """The class of an image, an index into `labels`; None without labels."""
        return None if self._targets is None else int(self._targets[self._indices[index]])

    def targets(self) -> NDArray[np.int32]:
        """The classes of all images, int32 [N].

        Raises:
            DataError: the data set has no labels.
        """
        if self._targets is None:
            raise DataError(f"{printable(str(self.source))} has no labels.", HOW_TO_LABEL)
        return self._targets[self._indices]

    def read(self, index: int, orientation: str = "exif") -> NDArray[np.uint8]:
        """Decode an image: uint8 RGB [H, W, 3], possibly read-only.

        Raises:
            ImageError: it cannot be read.
        """
        return self._items.read(int(self._indices[index]), orientation)

    def content_sha256(self, index: int) -> str:
        """The digest of the image's stored bytes (not of its pixels), in hexadecimal; computed once.

        Raises:
            ImageError: it cannot be read.
        """
        item = int(self._indices[index])
        if item not in self._digests:
            self._digests[item] = self._items.sha256(item)
        return self._digests[item]

    def subset(self, indices: Sequence[int]) -> Dataset:
        """These images in this order, with all the labels, even those that no image is left of."""
        part = copy.copy(self)  # it shares the digests, too
        part._indices = self._indices[np.asarray(indices, np.int64)]
        return part

    def unlabelled(self) -> Dataset:
        """These images without their labels."""
        part = copy.copy(self)
        part.labels = part._targets = None
        return part

    def joined(self, other: Dataset) -> Dataset:
        """These images, and then those of another part of the same data set."""
        whole = copy.copy(self)
        whole._indices = np.concatenate([self._indices, other._indices])
        return whole

    def digest(self) -> str:
        """A SHA-256 over the labels and every image's content and label, in order.

        Raises:
            ImageError: an image cannot be read.
        """
        total = hashlib.sha256(json.dumps(self.labels).encode())
        for index in range(len(self)):
            total.update(f"\n{self.content_sha256(index)} {self.label(index)}".encode())
        return total.hexdigest()


def open_dataset(path: Path) -> Dataset:
    """Open a folder, a manifest (`.csv`, `.jsonl`) or arrays (`.npz`).

    See `open_folder`, `open_manifest` and `open_npz` for what they hold.

    Raises:
        DataError: there is no such data set, or it cannot be used; the message says why.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        return Dataset(path, open_folder(path))
    if not path.is_file():
        raise DataError(f"There is no data set at {printable(str(path))}.", WHAT_TO_NAME)
    if suffix in (".csv", ".jsonl"):
        return Dataset(path, open_manifest(path))
    if suffix == ".npz":
        return Dataset(path, open_npz(path))
    raise DataError(f"{printable(str(path))} is not a data set.", WHAT_TO_NAME)


def require_labels(dataset: Dataset) -> tuple[str, ...]:
    """The labels of a data set that a classifier can be trained on.

    Raises:
        DataError: it has no labels, fewer than two classes, or a class without an image.
    """
    targets = dataset.targets()
    labels = dataset.labels or ()
    shown = printable(str(dataset.source))
    if len(labels) < 2:
        raise DataError(f"{shown} has the single class {printable(labels[0])!r}.",
                        "A classifier needs at least two classes.")
    counts = np.bincount(targets, minlength=len(labels))
    empty = [printable(label) for label, count in zip(labels, counts, strict=True) if count == 0]
    if empty:
        named = ", ".join(empty[:3]) + (", …" if len(empty) > 3 else "")
        classes = "a class" if len(empty) == 1 else f"{len(empty)} classes"
        raise DataError(f"{shown} has no image of {classes}: {named}.", "Add images, or remove the class.")
    return labels
