"""Images as the model sees them, decoded once and kept on disk."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.data.dataset import Dataset
from edgekit.data.stream import BadImages, map_images
from edgekit.runtime import preprocess
from edgekit.runtime.spec import ModelSpec, PixelStatistics

Pixels = NDArray[np.uint8]


def decode(data: Dataset, spec: ModelSpec, bad: BadImages, path: Path) -> list[int]:
    """Decode and preprocess all of `data` to the end of the file `path`, in the same way as a device will.

    Returns:
        The index in `data` of each image that was added; unreadable images are left out.

    Raises:
        DataError: more images than `bad` allows cannot be read.
    """
    kept = []
    with path.open("ab") as stream:
        prepared = map_images(
            lambda image: preprocess.pixels(image, spec), data, bad, orientation=spec.preprocess.orientation
        )
        for index, pixels in prepared:
            stream.write(np.ascontiguousarray(pixels).data)
            kept.append(index)
    return kept


class PixelFile:
    """The images in a file that `decode` wrote. Memory does not grow with their number."""

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self._path, self._shape, self._size = path, shape, math.prod(shape)

    def __len__(self) -> int:
        return self._path.stat().st_size // self._size

    def read(self, indices: Sequence[int]) -> Pixels:
        """The images of these indices, uint8 [N, height, width, channels]."""
        with self._path.open("rb") as stream:
            content = b"".join(os.pread(stream.fileno(), self._size, int(index) * self._size) for index in indices)
        return np.frombuffer(content, np.uint8).reshape(len(indices), *self._shape)


def statistics(pixels: NDArray[np.uint8]) -> PixelStatistics:
    """The statistics that a spec keeps of the training images, from uint8 [N, height, width, channels]."""
    return PixelStatistics(
        float(pixels.min()), float(pixels.max()), round(float(pixels.mean()), 3), round(float(pixels.std()), 3)
    )
