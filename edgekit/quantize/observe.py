"""What the activations of a float core do on real images: their ranges, their distribution, their means.

All ranges come from here, for both formats and every estimator, so that a range can be explained image by image.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import ModelFileError
from edgekit.quantize.taps import open_taps
from edgekit.runtime.spec import printable

BINS = 2048
BLOCK = 8  # images that one thread looks at together; sums do not depend on the number of threads

_Array = NDArray[np.float32]
_Seen = tuple[float, float, NDArray[np.float64]]


@dataclass(frozen=True)
class Observed:
    """What one activation did.

    Attributes:
        minima: the least value in each image, float32 [images].
        maxima: the greatest, likewise.
        means: of each channel over all images, float32 [channels].
        counts: how many values lie nearest to each of `values`, int64 [BINS]; None where nobody asked.

    Values that are not finite are left out.
    """

    minima: _Array
    maxima: _Array
    means: _Array
    counts: NDArray[np.int64] | None

    @property
    def low(self) -> float:
        """The least value in all images."""
        return float(self.minima.min())

    @property
    def high(self) -> float:
        """The greatest value in all images."""
        return float(self.maxima.max())

    @property
    def values(self) -> NDArray[np.float64]:
        """BINS values from the least to the greatest, both included, evenly spaced."""
        return np.linspace(self.low, self.high, BINS)


@dataclass(frozen=True)
class Statistics:
    """What the activations did, by tensor, in the order of computation."""

    tensors: dict[str, Observed]

    def save(self, path: Path) -> None:
        """Write them as an `.npz`, for child processes."""
        seen = list(self.tensors.values())
        arrays: dict[str, Any] = {
            "names": np.array(list(self.tensors)),
            "minima": np.stack([one.minima for one in seen]),
            "maxima": np.stack([one.maxima for one in seen]),
            "means": np.concatenate([one.means for one in seen]),
            "channels": np.array([len(one.means) for one in seen]),
        }
        counts = [one.counts for one in seen if one.counts is not None]
        if len(counts) == len(seen):
            arrays["counts"] = np.stack(counts)
        with path.open("wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> Statistics:
        """What `save` wrote."""
        with np.load(path) as file:
            arrays = dict(file)
        means = np.split(arrays["means"], np.cumsum(arrays["channels"])[:-1])
        counts = arrays.get("counts", [None] * len(means))
        columns = (arrays["names"].tolist(), arrays["minima"], arrays["maxima"], means, counts)
        return cls({name: Observed(*rest) for name, *rest in zip(*columns, strict=True)})


def observe(
    core: Path, pixels: NDArray[np.uint8], layout: str, threads: int = 1, *, histograms: bool = True
) -> Statistics:
    """Run a float core on images and look at every activation.

    Memory does not grow with the number of images but for two floats per image and tensor. The result is the same
    for any number of threads.

    Args:
        core: a float `.tflite` or `.onnx` that takes pixels from 0 to 255, and has been vetted.
        pixels: uint8 [N, height, width, channels].
        layout: NHWC or NCHW, of the core's input.
        threads: images that are looked at at once.
        histograms: count values, too, which takes a second run; every estimator but minmax needs it.

    Raises:
        ModelFileError: the core cannot be looked at, or has no activations.
    """
    opened = threading.local()
    axis = 1 if core.suffix == ".onnx" else -1  # of the channels

    def activations(image: NDArray[np.uint8]) -> Iterator[tuple[str, _Array]]:
        if not hasattr(opened, "taps"):
            opened.taps = open_taps(core)
        tensor = image.transpose(2, 0, 1) if layout == "NCHW" else image
        found: Iterator[tuple[str, _Array]] = opened.taps.each(np.ascontiguousarray(tensor[None], np.float32))
        return found

    def look(block: NDArray[np.uint8]) -> list[dict[str, _Seen]]:
        return [{name: _look(values, axis) for name, values in activations(image)} for image in block]

    blocks = [pixels[start : start + BLOCK] for start in range(0, len(pixels), BLOCK)]
    minima: dict[str, list[float]] = {}
    maxima: dict[str, list[float]] = {}
    sums: dict[str, NDArray[np.float64]] = {}
    counts: dict[str, NDArray[np.int64]] = {}
    with ThreadPoolExecutor(threads) as pool:
        for block in pool.map(look, blocks):  # in order: sums must not depend on who is first
            for image in block:
                for name, (low, high, mean) in image.items():
                    minima.setdefault(name, []).append(low)
                    maxima.setdefault(name, []).append(high)
                    sums[name] = sums.get(name, 0) + mean
        if not minima:
            raise ModelFileError(f"{printable(core.name)} has no activations to look at.")
        if histograms:
            limits = {name: (min(minima[name]), max(maxima[name])) for name in minima}
            counts = {name: np.zeros(BINS, np.int64) for name in minima}
            adding = threading.Lock()

            def count(block: NDArray[np.uint8]) -> None:
                for image in block:
                    found = {name: _count(values, *limits[name]) for name, values in activations(image)}
                    with adding:
                        for name, places in found.items():
                            counts[name] += places

            list(pool.map(count, blocks))
    return Statistics(
        {
            name: Observed(
                np.array(minima[name], np.float32),
                np.array(maxima[name], np.float32),
                (sums[name] / len(pixels)).astype(np.float32),
                counts.get(name),
            )
            for name in minima
        }
    )


def _look(values: _Array, axis: int) -> _Seen:
    """Minimum, maximum, and the mean of each channel."""
    if values.ndim > 1 and axis == 1:
        values = np.moveaxis(values, 1, -1)
    rows = values.reshape(-1, values.shape[-1] if values.ndim else 1)
    low, high = float(rows.min()), float(rows.max())
    if not math.isfinite(low + high):
        finite = rows[np.isfinite(rows)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        rows = np.where(np.isfinite(rows), rows, 0)
    return low, high, rows.sum(0) / np.float64(len(rows))


def _count(values: _Array, low: float, high: float) -> NDArray[np.int64]:
    """How many values lie nearest to each of BINS values from low to high."""
    flat = values.ravel()
    if not np.isfinite(flat.sum()):
        flat = flat[np.isfinite(flat)]
    if high <= low:
        return np.bincount([0], [flat.size], BINS).astype(np.int64)
    place = (flat - np.float32(low)) * np.float32((BINS - 1) / (high - low)) + np.float32(0.5)
    return np.bincount(np.clip(place.astype(np.int64), 0, BINS - 1), minlength=BINS)
