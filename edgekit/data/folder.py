"""A folder with a subfolder per class, or a flat folder of unlabelled images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgekit.core.errors import DataError
from edgekit.data.items import ImageFiles, Opened, check_labels, sort_labels
from edgekit.runtime.spec import printable

IMAGE_EXTENSIONS = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".gif"))
# Images that edgekit does not decode. They are listed all the same, so that reading names them.
OTHER_IMAGE_EXTENSIONS = frozenset((
    ".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".ico", ".tga", ".ppm", ".pgm", ".psd",
    ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2",
))
SPLIT_NAMES = frozenset(("train", "training", "val", "valid", "validation", "test", "testing"))


def open_folder(folder: Path) -> Opened:
    """List a folder: its subfolders are the classes, and each is searched with all that lies below it.

    Hidden files and folders (a leading dot) are ignored, and so are files that neither have an image's
    extension nor begin like an image. A folder without subfolders holds unlabelled images.

    Raises:
        DataError: no images; images beside class folders; a class folder without an image; folders named
            like splits, which hold class folders of their own.
    """
    seen = {_identity(folder)}
    entries = _visible(folder)
    classes = {entry.name: entry for entry in entries if _is_dir(entry)}
    images = [entry.name for entry in entries if entry.name not in classes and _is_image(entry)]
    if not classes:
        if not images:
            raise DataError(f"{_shown(folder)} has no images.",
                            "It should have one subfolder of images per class, or only images.")
        return Opened(ImageFiles(folder, images))
    if images:
        raise DataError(f"{_shown(folder)} has images beside its class folders, such as {printable(images[0])}.",
                        "Move the images into class folders, or the folders elsewhere.")
    labels = sort_labels(classes)
    check_labels(labels, folder)
    if set(map(str.lower, labels)) <= SPLIT_NAMES and all(map(_has_folders, classes.values())):
        raise DataError(f"{_shown(folder)} has folders for splits ({', '.join(labels)}), not for classes.",
                        f"Name one of them, such as {_shown(folder / labels[0])}.")
    paths: list[str] = []
    counts: list[int] = []
    for label in labels:
        found = sorted(_images_below(classes[label], label, set(seen)))
        if not found:
            raise DataError(f"The class folder {_shown(folder / label)} has no images.", "Fill it or remove it.")
        paths += found
        counts.append(len(found))
    targets = np.repeat(np.arange(len(labels), dtype=np.int32), counts)
    return Opened(ImageFiles(folder, paths), labels, targets)


def find_images(folder: Path) -> list[Path]:
    """All images below a folder, sorted by path; see `open_folder` for what counts as one.

    Raises:
        DataError: a folder cannot be listed.
    """
    entries = _visible(folder)
    seen = {_identity(folder)}
    found = [entry.name for entry in entries if not _is_dir(entry) and _is_image(entry)]
    for entry in entries:
        if _is_dir(entry):
            found += _images_below(entry, entry.name, seen)
    return [folder / path for path in sorted(found)]


def _images_below(top: os.DirEntry[str], prefix: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    """Paths of the images below a class folder, with "/" between their parts.

    Links are followed, but no folder is entered twice (`seen`): a link back up ends there.
    """
    pending = [(prefix, Path(top.path))]
    while pending:
        prefix, folder = pending.pop()
        identity = _identity(folder)
        if identity in seen:
            continue
        seen.add(identity)
        for entry in reversed(_visible(folder)):
            path = f"{prefix}/{entry.name}"
            if _is_dir(entry):
                pending.append((path, Path(entry.path)))
            elif _is_image(entry):
                yield path


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"The folder {_shown(folder)} cannot be listed: {error.strerror or error}.") from None


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError as error:
        raise DataError(f"The folder {_shown(folder)} cannot be listed: {error.strerror or error}.") from None
    return status.st_dev, status.st_ino


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _has_folders(folder: os.DirEntry[str]) -> bool:
    return any(_is_dir(entry) for entry in _visible(Path(folder.path)))


def _is_image(entry: os.DirEntry[str]) -> bool:
    extension = os.path.splitext(entry.name)[1].lower()
    if extension in IMAGE_EXTENSIONS or extension in OTHER_IMAGE_EXTENSIONS:
        return True
    try:
        if not entry.is_file():
            return False
        with open(entry.path, "rb") as stream:
            return _begins_like_an_image(stream.read(16))
    except OSError:
        return False


def _begins_like_an_image(head: bytes) -> bool:
    return (
        head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a"))
        or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")
        or (head.startswith(b"BM") and head[6:10] == bytes(4))  # two reserved words, so that text is no BMP
    )


def _shown(path: Path) -> str:
    return printable(str(path))
