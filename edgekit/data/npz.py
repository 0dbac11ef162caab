"""Arrays: an `.npz` file with images `x` and classes `y`, as numpy.savez writes it.

The format is numpy's (numpy.lib.format: a zip archive of `.npy` members). Members are read by their
headers and never unpickled; an archive that unpacks to something else than its headers say is refused.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import tempfile
import tokenize
import weakref
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import DataError
from edgekit.data.items import Opened, check_labels, index_labels
from edgekit.runtime.images import MAX_PIXELS
from edgekit.runtime.spec import printable

MAX_IMAGES_BYTES = 1 << 37
MAX_LABELS_BYTES = 1 << 28
COPY_BYTES = 1 << 20


class ArrayImages:
    """Images of one shape, copied piece by piece to an anonymous temporary file, which goes when they do."""

    def __init__(self, name: str, shape: tuple[int, ...], pieces: Iterable[bytes]) -> None:
        self._name = name
        self._count, *self._image_shape = shape
        self._image_bytes = math.prod(self._image_shape)
        self._stream = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as this object lives)
        weakref.finalize(self, self._stream.close)
        for piece in pieces:
            self._stream.write(piece)
        self._stream.flush()

    def __len__(self) -> int:
        """The number of images."""
        return self._count

    def name(self, index: int) -> str:
        """The file's name and the image's place in `x`."""
        return f"{self._name}[{index}]"

    def read(self, index: int, orientation: str) -> NDArray[np.uint8]:
        """The image, uint8 RGB [H, W, 3], read-only; of gray, three views. Arrays have no orientation."""
        pixels = np.frombuffer(self._bytes(index), np.uint8).reshape(self._image_shape)
        if pixels.ndim == 3 and pixels.shape[2] == 3:
            return pixels
        height, width = pixels.shape[:2]
        return np.ndarray((height, width, 3), np.uint8, pixels, strides=(width, 1, 0))

    def sha256(self, index: int) -> str:
        """The digest of the image's bytes as `x` holds them, in hexadecimal."""
        return hashlib.sha256(self._bytes(index)).hexdigest()

    def _bytes(self, index: int) -> bytes:
        # pread has no file position that threads could disturb.
        return os.pread(self._stream.fileno(), self._image_bytes, index * self._image_bytes)


def open_npz(path: Path) -> Opened:
    """Open an archive of `x` (uint8 [N, H, W], [N, H, W, 1] or [N, H, W, 3]) and optionally `y` [N].

    Classes are integers or strings; their names are str(y). An array `labels` of strings names the integer
    classes 0, 1, …, in this order. The images are unpacked to an anonymous temporary file.

    Raises:
        DataError: not such an archive, damaged, with Python objects, or larger than what is possible.
    """
    shown = printable(str(path))
    with _reporting(shown), zipfile.ZipFile(path) as archive:
        members = set(archive.namelist())
        if "x.npy" not in members:
            raise DataError(f"{shown} has no array 'x'.", "Save it with: numpy.savez(path, x=images, y=classes)")
        images = _unpack_images(archive, shown, path.name)
        if "y.npy" not in members:
            return Opened(images)
        classes = _read_vector(archive, "y", "iuU", shown)
        if len(classes) != len(images):
            raise DataError(f"{shown} has {len(images)} images in 'x' but {len(classes)} classes in 'y'.")
        if "labels.npy" not in members:
            return Opened(images, *index_labels([str(value) for value in classes.tolist()], path))
        return Opened(images, *_named_classes(classes, _read_vector(archive, "labels", "U", shown), path))


def _named_classes(
    classes: NDArray[Any], names: NDArray[Any], path: Path
) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    shown = printable(str(path))
    labels = tuple(str(name) for name in names)
    check_labels(labels, path)
    if len(set(labels)) != len(labels):
        raise DataError(f"{shown} has the same name twice in 'labels'.")
    if classes.dtype.kind == "U":
        raise DataError(f"{shown} has 'labels', but 'y' holds names already.", "Store integers in 'y', or no 'labels'.")
    if classes.min() < 0 or classes.max() >= len(labels):
        raise DataError(f"{shown} has classes {classes.min()} to {classes.max()} in 'y', "
                        f"but 'labels' names 0 to {len(labels) - 1}.")
    return labels, classes.astype(np.int32)


def _unpack_images(archive: zipfile.ZipFile, shown: str, name: str) -> ArrayImages:
    with _member(archive, "x", shown) as (stream, shape, dtype):
        if dtype != np.uint8:
            hint = "Store bytes from 0 to 255: x.astype('uint8')."
            if dtype.kind == "f":
                hint = "Store bytes from 0 to 255: (x * 255).round().astype('uint8') for values in 0..1."
            raise DataError(f"{shown} has 'x' of type {dtype}; images are uint8.", hint)
        if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)) or min(shape) < 1:
            raise DataError(f"{shown} has 'x' of shape {shape}.",
                            "Images are [N, H, W], [N, H, W, 1] or [N, H, W, 3].")
        if shape[1] * shape[2] > MAX_PIXELS:
            raise DataError(f"{shown} has images of {shape[1]} x {shape[2]} pixels; {MAX_PIXELS} pixels are possible.")
        size = math.prod(shape)
        folder = tempfile.gettempdir()
        if size > min(MAX_IMAGES_BYTES, shutil.disk_usage(folder).free):
            raise DataError(f"{shown} unpacks to {size >> 20} MB, for which {printable(folder)} has no room.",
                            "Set TMPDIR to a larger disk, or store the images as files.")
        return ArrayImages(name, shape, _pieces(stream, size))


def _read_vector(archive: zipfile.ZipFile, name: str, kinds: str, shown: str) -> NDArray[Any]:
    with _member(archive, name, shown) as (stream, shape, dtype):
        if dtype.kind not in kinds:
            wanted = "strings" if kinds == "U" else "integers or strings"
            raise DataError(f"{shown} has '{name}' of type {dtype}; it should hold {wanted}.",
                            f"Convert it with {name}.astype({'str' if kinds == 'U' or dtype.kind == 'S' else 'int'}).")
        if len(shape) != 1 or shape[0] < 1:
            raise DataError(f"{shown} has '{name}' of shape {shape}; it should have one dimension.",
                            "Use y.argmax(1) for one-hot classes, y.reshape(-1) for one column."
                            if name == "y" else "")
        size = shape[0] * dtype.itemsize
        if size > MAX_LABELS_BYTES:
            raise DataError(f"{shown} has {size >> 20} MB in '{name}'; {MAX_LABELS_BYTES >> 20} MB are possible.")
        return np.frombuffer(b"".join(_pieces(stream, size)), dtype)


@contextmanager
def _member(
    archive: zipfile.ZipFile, name: str, shown: str
) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype[Any]]]:
    """Open an array: its data, its shape and its type, once its header fits the size of its member."""
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{shown} has '{name}' in a compression that numpy does not write.")
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            _damaged(shown)
        if dtype.hasobject:
            raise DataError(f"{shown} has Python objects in '{name}'; edgekit does not unpickle.",
                            f"Store numbers or strings: {name}.astype(…).")
        if fortran_order and len(shape) > 1:
            raise DataError(f"{shown} has '{name}' in Fortran order.", f"Store numpy.ascontiguousarray({name}).")
        if min(shape, default=0) < 0 or stream.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
            _damaged(shown)
        yield stream, shape, dtype


def _pieces(stream: IO[bytes], size: int) -> Iterator[bytes]:
    """Exactly `size` bytes, which must be all there are; reading to the end checks their CRC."""
    left = size
    while piece := stream.read(COPY_BYTES):
        left -= len(piece)
        if left < 0:
            break
        yield piece
    if left != 0:
        raise EOFError


@contextmanager
def _reporting(shown: str) -> Iterator[None]:
    """Turn what zipfile and numpy raise on a bad archive into a DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{shown} cannot be unpacked: {error.strerror or error}.") from None
    except (
        zipfile.BadZipFile, zlib.error, EOFError, RuntimeError,  # RuntimeError: encrypted, or an unknown method
        ValueError, TypeError, SyntaxError, tokenize.TokenError, MemoryError,  # numpy parses a header as Python
    ):
        _damaged(shown)


def _damaged(shown: str) -> NoReturn:
    raise DataError(f"{shown} is damaged, or is not an .npz file.",
                    "Save it with: numpy.savez(path, x=images, y=classes)")
