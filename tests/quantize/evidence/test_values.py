"""What the pixels alone say."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.quantize.evidence import values
from edgekit.quantize.evidence.finding import Finding
from edgekit.runtime.spec import ModelSpec, PixelStatistics, Provenance
from tests.keras_models import images
from tests.session_models import spec

TRAINED = spec(provenance=Provenance(trained_on=PixelStatistics(0, 250, 90, 50)))
PIXELS = images(40)[0]


def scene(seed: int, size: int = 48) -> NDArray[np.uint8]:
    """Smooth shapes with sharp edges, as photos have them, uint8 [size, size, 3]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    image = np.zeros((size, size, 3))
    for _ in range(6):
        inside = (x - rng.random()) ** 2 + (y - rng.random()) ** 2 < rng.uniform(0.05, 0.3)
        image += inside[..., None] * rng.uniform(20, 80, 3) * (1 + x[..., None])
    return np.clip(image + rng.normal(0, 4, image.shape) + 20, 0, 255).astype(np.uint8)


def examined(pixels: NDArray[np.uint8], said: ModelSpec | None = None) -> list[Finding]:
    names = [f"{number}.png" for number in range(len(pixels))]
    seen = [values.traits(image) for image in pixels]
    return list(values.examine(values.histograms(pixels), seen, names, said or spec(), "data"))


def test_ordinary_images() -> None:
    assert examined(PIXELS) == examined(PIXELS, TRAINED) == []
    assert examined(np.stack([scene(seed) for seed in range(30)])) == []


@pytest.mark.parametrize(
    ("pixels", "kind", "reason", "hint"),
    [
        (np.zeros_like(PIXELS), "single colours", "every image is a single colour", "100 or more photos"),
        ((PIXELS / 255).round().astype(np.uint8), "range", "span 0 to 1, and the model takes pixels", "scaled to 0..1"),
        (PIXELS // 20, "range", "span 0 to 12, and the model takes pixels", "stored in fewer bits"),
        ((PIXELS / 64 - 2).astype(np.int8).astype(np.uint8), "range", "are only 0, 1, 254 and 255", "normalised"),
        (np.where(np.arange(40)[:, None, None, None] < 37, 9, PIXELS).astype(np.uint8), "single colours",
         r"37 of 40 images are a single colour, or nearly: 0\.png, 1\.png, 2\.png and 34 more", "scaled to 0..1"),
    ],
    ids=["zeros", "scaled", "dark", "normalised", "flat"],
)  # fmt: skip
def test_refused(pixels: NDArray[np.uint8], kind: str, reason: str, hint: str) -> None:
    [found] = examined(pixels)
    assert (found.kind, found.level) == (kind, "refusal")
    assert found.what.startswith("data cannot calibrate a model: ")
    assert re.search(reason, found.what), found.what
    assert hint in found.hint


def test_what_a_model_was_trained_on_decides_what_is_wide_enough() -> None:
    pixels = (PIXELS // 4).astype(np.uint8)
    dark = spec(provenance=Provenance(trained_on=PixelStatistics(0, 60, 20, 10)))
    assert examined(pixels) == examined(pixels, dark) == []
    [found] = examined(pixels, TRAINED)
    assert (found.level, "was trained on 0 to 250" in found.what) == ("refusal", True)


def test_a_few_empty_images_are_named() -> None:
    pixels = PIXELS.copy()
    pixels[[3, 17]] = 200
    [found] = examined(pixels)
    assert (found.level, found.images, found.positions) == ("warning", ("3.png", "17.png"), (3, 17))
    pixels[17] = PIXELS[17]
    assert examined(pixels) == []


def test_brightness_unlike_the_training() -> None:
    [darker] = examined((PIXELS // 3).astype(np.uint8), TRAINED)
    assert (darker.level, darker.what[:28]) == ("warning", "The images are much darker: ")
    assert "90 ± 50 in the training images" in darker.what
    inverted = spec(provenance=Provenance(trained_on=PixelStatistics(0, 255, 255 - float(PIXELS.mean()), 50)))
    [found] = examined(PIXELS, inverted)
    assert "are inverted, it seems" in found.what
    flat = spec(provenance=Provenance(trained_on=PixelStatistics(0, 250, float(PIXELS.mean()), 18)))
    [contrast] = examined(PIXELS, flat)
    assert "another contrast" in contrast.what


def test_noise_is_told_whatever_it_was_resized_to() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 40, 3)).astype(np.uint8)
    [found] = examined(noise)
    assert (found.kind, found.level) == ("noise", "warning")


def test_black_and_white_is_no_wrapped_number() -> None:
    drawing = (np.stack([scene(seed) for seed in range(20)]) > 90).astype(np.uint8) * 255
    assert examined(drawing) == []
