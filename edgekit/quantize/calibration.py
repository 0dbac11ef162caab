"""The representative dataset: choosing it, preparing it, and refusing one that cannot be right."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import DataError
from edgekit.data.dataset import Dataset
from edgekit.data.splits import stratified_sample
from edgekit.data.stream import BadImages, map_images
from edgekit.runtime import preprocess
from edgekit.runtime.spec import ModelSpec, printable

MIN_SPREAD = 16
MIN_SPREAD_OF_TRAINING = 0.25


@dataclass(frozen=True)
class Calibration:
    """What the model sees of the representative dataset.

    `pixels` is uint8 [N, height, width, channels] in the model's channel order; `images` are the images they were
    made of, in the same order.
    """

    pixels: NDArray[np.uint8]
    images: Dataset
    sha256: str


def choose(data: Dataset, spec: ModelSpec, samples: int, seed: int, bad: BadImages) -> Calibration:
    """Take `samples` images evenly over the classes, different from each other, and prepare them for the model.

    Raises:
        DataError: the images cannot calibrate a model; see `check`. Or too many of them cannot be read.
    """
    sample = data.subset(stratified_sample(data, samples, seed))
    prepared = map_images(
        lambda image: preprocess.pixels(image, spec), sample, bad, orientation=spec.preprocess.orientation
    )
    kept, pixels = zip(*prepared, strict=True)
    stacked = np.stack(pixels)
    check(stacked, spec, printable(str(data.source)))
    return Calibration(stacked, sample.subset(kept), hashlib.sha256(stacked.tobytes()).hexdigest())


def check(pixels: NDArray[np.uint8], spec: ModelSpec, name: str) -> None:
    """Refuse images that would give wrong ranges, uint8 [N, height, width, channels].

    Raises:
        DataError: one image over and over, constant images, or values that span only a small part of what the model
            was made for.
    """
    hint = "Calibrate on 100 or more photos like those that the device will see."
    if all(image.min() == image.max() for image in pixels):
        raise DataError(f"{name} cannot calibrate a model: every image is a single colour.", hint)
    if all(np.array_equal(image, pixels[0]) for image in pixels[1:]):
        raise DataError(
            f"{name} cannot calibrate a model: it holds one image only, or the same one over and over.", hint
        )
    low, high = int(pixels.min()), int(pixels.max())
    trained = spec.provenance.trained_on
    wanted = MIN_SPREAD_OF_TRAINING * (trained.maximum - trained.minimum) if trained else MIN_SPREAD
    if high - low < wanted:
        usual = (
            f"was trained on {trained.minimum:g} to {trained.maximum:g}" if trained else "takes pixels from 0 to 255"
        )
        raise DataError(
            f"{name} cannot calibrate a model: its pixels span {low} to {high}, and the model {usual}.",
            "Were the images scaled to 0..1 before they were stored? Store them as ordinary 8-bit images.",
        )
