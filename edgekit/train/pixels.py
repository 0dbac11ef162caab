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
    """Decode and preprocess all of `data` into the file `path`, in the same way as a device will.

    Returns:
        The class of each image in the file; unreadable images are left out.

    Raises:
        DataError: more images than `bad` allows cannot be read.
    """
    labels = []
    with path.open("wb") as stream:
        prepared = map_images(
            lambda image: preprocess.pixels(image, spec), data, bad, orientation=spec.preprocess.orientation
        )
        for index, pixels in prepared:
            stream.write(np.ascontiguousarray(pixels).data)
            labels.append(data.label(index) or 0)
    return labels


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


def augment(images: Pixels, rng: np.random.Generator) -> NDArray[np.float32]:
    """Shift by up to a tenth (at least a pixel), and change brightness and contrast a little.

    Nothing is mirrored or turned: digits and letters would become others.

    Args:
        images: uint8 [N, height, width, channels].

    Returns:
        float32 of the same shape, in 0..255.
    """
    count, height, width, _ = images.shape
    reach_y, reach_x = max(1, height // 10), max(1, width // 10)
    padded = np.pad(images, ((0, 0), (reach_y, reach_y), (reach_x, reach_x), (0, 0)), mode="edge")
    tops = rng.integers(0, 2 * reach_y + 1, count)
    lefts = rng.integers(0, 2 * reach_x + 1, count)
    shifted = np.stack(
        [image[top : top + height, left : left + width] for image, top, left in zip(padded, tops, lefts, strict=True)]
    ).astype(np.float32)
    contrast = rng.uniform(0.85, 1.15, (count, 1, 1, 1)).astype(np.float32)
    brightness = rng.uniform(-16, 16, (count, 1, 1, 1)).astype(np.float32)
    return np.asarray(np.clip((shifted - 127.5) * contrast + 127.5 + brightness, 0, 255), np.float32)


def statistics(pixels: NDArray[np.uint8]) -> PixelStatistics:
    """The statistics that a spec keeps of the training images, from uint8 [N, height, width, channels]."""
    return PixelStatistics(
        float(pixels.min()), float(pixels.max()), round(float(pixels.mean()), 3), round(float(pixels.std()), 3)
    )
