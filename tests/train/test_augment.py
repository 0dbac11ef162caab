"""Random changes of images: repeatable, within the range of pixels, and never what would make another class of them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.train.augment import Augment, photographed, shifted
from tests.keras_models import images

KINDS = [shifted, photographed(True), photographed(False)]


@pytest.mark.parametrize("augment", KINDS)
def test_it_is_repeatable(augment: Augment) -> None:
    batch = images(6)[0]
    first = augment(batch, np.random.default_rng([1, 2, 3]))
    assert np.array_equal(first, augment(batch, np.random.default_rng([1, 2, 3])))
    assert not np.array_equal(first, augment(batch, np.random.default_rng([1, 2, 4])))


@pytest.mark.parametrize("augment", KINDS)
def test_it_stays_in_the_range_of_pixels(augment: Augment) -> None:
    batch = np.stack([np.zeros((9, 7, 3), np.uint8), np.full((9, 7, 3), 255, np.uint8)])
    for seed in range(20):
        result = augment(batch, np.random.default_rng(seed))
        assert result.shape == batch.shape
        assert result.dtype == np.float32
        assert result.min() >= 0
        assert result.max() <= 255


def test_shifting_never_mirrors_or_turns() -> None:
    rows, columns = np.mgrid[:20, :30]
    ramp = (40 + 3 * columns + 5 * rows).astype(np.uint8)[None, :, :, None]
    for seed in range(60):
        result = shifted(ramp, np.random.default_rng(seed))[0, :, :, 0]
        right, down = np.diff(result[6:-6, 6:-6], axis=1), np.diff(result[6:-6, 6:-6], axis=0)
        assert right.min() > 0
        assert down.min() > 0
        assert np.allclose(down / right[0, 0], 5 / 3, atol=1e-3)  # contrast scales both alike
        assert 0.85 <= right[0, 0] / 3 <= 1.15


def test_the_smallest_images_are_shifted_by_a_pixel() -> None:
    spot = np.zeros((1, 5, 5, 1), np.uint8)
    spot[0, 2, 2] = 255
    places = set()
    for seed in range(80):
        result = shifted(spot, np.random.default_rng(seed))[0, :, :, 0]
        places.add(tuple(int(place) for place in np.unravel_index(int(result.argmax()), result.shape)))
    assert places == {(row, column) for row in (1, 2, 3) for column in (1, 2, 3)}


def ramp() -> NDArray[np.uint8]:
    """Brighter to the right, in a colour."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[..., 0] = np.linspace(60, 180, 60).astype(np.uint8)
    image[..., 1] = image[..., 0] // 2
    return image[None]


@pytest.mark.parametrize(("mirror", "least", "most"), [(False, 0, 0), (True, 30, 70)])
def test_photos_are_mirrored_half_of_the_time_or_never(mirror: bool, least: int, most: int) -> None:
    augment = photographed(mirror)
    mirrored = 0
    for seed in range(100):
        result = augment(ramp(), np.random.default_rng(seed))[0, 20, :, 0]
        mirrored += int(result[0] > result[-1])
    assert least <= mirrored <= most


def test_photos_show_a_part_at_the_full_size() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, :, 1] = np.mgrid[:40, :40][1] * 6
    slopes = [float(np.polyfit(range(10, 30), photographed(False)(image[None], np.random.default_rng(seed))
                               [0, 20, 10:30, 1], 1)[0]) / 6 for seed in range(100)]
    # A part of 50 to 100 % of the area, magnified to the whole, is less steep; light changes that by a third at most.
    assert 0.4 < min(slopes) < 0.75
    assert max(slopes) < 1.45


def test_light_changes_colours_little() -> None:
    image = np.full((1, 30, 30, 3), (200, 100, 60), np.uint8)
    colours = np.stack([photographed(True)(image, np.random.default_rng(seed))[0, 15, 15] for seed in range(100)])
    assert (colours[:, 0] > colours[:, 1]).all()
    assert (colours[:, 1] > colours[:, 2]).all()
    assert colours.std(0).min() > 5
    assert np.abs(colours.mean(0) - (200, 100, 60)).max() < 12
