"""What a pretrained network sees in images: features, computed once and kept on disk. Needs Keras."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.train.augment import Augment
from edgekit.train.pixels import PixelFile

AT_ONCE = 32  # images


def extract(
    network: Any,
    pixels: PixelFile,
    images: range,
    views: int,
    augment: Augment,
    seed: int,
    path: Path,
    on_progress: Callable[[int, int], None],
) -> NDArray[np.float32]:
    """The features of `images`: of each the plain view first, then augmented ones.

    They go to the file `path` batch by batch. What an earlier run has left there is kept, so that a run that was
    stopped goes on: every batch has a random generator of its own, (seed, view, batch).

    Args:
        network: a Keras model, pixels 0..255 float32 [N, height, width, channels] → features [N, D].

    Returns:
        float32 [images, views, D], mapped from the file: memory does not grow with their number.
    """
    size = int(network.output_shape[-1])
    whole = views * size * 4  # bytes of an image
    written = path.stat().st_size // whole if path.exists() else 0  # images
    done = -(-len(images) // AT_ONCE) if written == len(images) else written // AT_ONCE
    with path.open("r+b" if path.exists() else "w+b") as stream:
        stream.truncate(min(done * AT_ONCE, len(images)) * whole)
        stream.seek(0, os.SEEK_END)
        for batch in range(done, -(-len(images) // AT_ONCE)):
            chosen = images[batch * AT_ONCE : (batch + 1) * AT_ONCE]
            plain = pixels.read(chosen)
            found = np.empty((len(chosen), views, size), np.float32)
            for view in range(views):
                seen = augment(plain, np.random.default_rng([seed, view, batch])) if view else plain
                found[:, view] = answer(network, np.asarray(seen, np.float32))
            stream.write(found.data)
            on_progress(batch * AT_ONCE + len(chosen), len(images))
    return np.memmap(path, np.float32, "r", shape=(len(images), views, size))


def answer(network: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a Keras model gives for at most `AT_ONCE` images.

    Fewer are filled up: another batch size would be compiled anew, and that takes longer than the images.
    """
    missing = AT_ONCE - len(images)
    full = np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.float32)]) if missing else images
    return np.asarray(network.predict_on_batch(full), np.float32)[: len(images)]
