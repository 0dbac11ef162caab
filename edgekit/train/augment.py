"""Images changed at random, the way that cameras and hands change them. Everything comes from one generator, so that a
run can be repeated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Augment = Callable[[Pixels, np.random.Generator], NDArray[np.float32]]

SMALLEST_AREA = 0.5  # of the image, that a crop keeps
MOST_STRETCHED = 4 / 3
CONTRAST = BRIGHTNESS = SATURATION = 0.2


def shifted(images: Pixels, rng: np.random.Generator) -> NDArray[np.float32]:
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
    moved = np.stack(
        [image[top : top + height, left : left + width] for image, top, left in zip(padded, tops, lefts, strict=True)]
    ).astype(np.float32)
    contrast = rng.uniform(0.85, 1.15, (count, 1, 1, 1)).astype(np.float32)
    brightness = rng.uniform(-16, 16, (count, 1, 1, 1)).astype(np.float32)
    return np.asarray(np.clip((moved - 127.5) * contrast + 127.5 + brightness, 0, 255), np.float32)


def photographed(mirror: bool) -> Augment:
    """For photos: a random part of the image at the full size (Szegedy et al. 2015, arXiv:1409.4842, section 6),
    other light, and mirrored half of the time if `mirror`.

    Takes uint8 [N, height, width, 3] and gives float32 of the same shape, in 0..255.
    """

    def augment(images: Pixels, rng: np.random.Generator) -> NDArray[np.float32]:
        changed = np.empty(images.shape, np.float32)
        for image, target in zip(images, changed, strict=True):
            target[...] = _part(image, rng)
            if mirror and rng.random() < 0.5:
                target[...] = target[:, ::-1].copy()
            _light(target, rng)
        return changed

    return augment


def _part(image: Pixels, rng: np.random.Generator) -> Pixels:
    height, width, _ = image.shape
    area = rng.uniform(SMALLEST_AREA, 1)
    stretch = np.exp(rng.uniform(-np.log(MOST_STRETCHED), np.log(MOST_STRETCHED)))
    tall, wide = (min(1.0, float(np.sqrt(area * share))) for share in (1 / stretch, stretch))
    top, left = rng.uniform(0, height * (1 - tall)), rng.uniform(0, width * (1 - wide))
    box = (left, top, left + width * wide, top + height * tall)
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR, box))


def _light(image: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Contrast, brightness and saturation of float32 [height, width, 3], in place."""
    contrast = rng.uniform(1 - CONTRAST, 1 + CONTRAST)
    brightness = 255 * rng.uniform(-BRIGHTNESS, BRIGHTNESS) / 2
    saturation = rng.uniform(1 - SATURATION, 1 + SATURATION)
    gray = image @ np.array([0.299, 0.587, 0.114], np.float32)
    image *= np.float32(contrast * saturation)
    image += (gray * np.float32(contrast * (1 - saturation)))[..., None]
    image += np.float32(127.5 * (1 - contrast) + brightness)
    np.clip(image, 0, 255, image)
