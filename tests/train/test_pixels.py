"""Images decoded once and kept on disk, augmented in a way that can be repeated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.core.errors import DataError
from edgekit.data.dataset import open_dataset
from edgekit.data.stream import BadImages
from edgekit.runtime import preprocess
from edgekit.runtime.spec import Crop, Preprocess
from edgekit.train import pixels
from edgekit.train.pixels import PixelFile
from tests.keras_models import COLOURS, images
from tests.session_models import PHOTOS, spec


def test_the_file_holds_what_a_device_would_see(photos: Path, tmp_path: Path) -> None:
    data, said = open_dataset(photos), spec(preprocess=Preprocess("bilinear-aa", Crop("center")))
    classes = pixels.decode(data, said, BadImages(), tmp_path / "pixels")
    stored = PixelFile(tmp_path / "pixels", (12, 12, 3))
    assert len(stored) == len(classes) == PHOTOS
    assert classes == data.targets().tolist()
    chosen = [41, 0, 7, 7]
    expected = np.stack([preprocess.pixels(data.read(index), said) for index in chosen])
    assert np.array_equal(stored.read(chosen), expected)


def test_unreadable_images_leave_no_gap(photos: Path, tmp_path: Path) -> None:
    for colour in COLOURS:
        (tmp_path / "data" / colour).mkdir(parents=True)
    for path in sorted(photos.rglob("*.png"))[::7]:
        (tmp_path / "data" / path.parent.name / path.name).write_bytes(path.read_bytes())
    (tmp_path / "data" / "green" / "000.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    data = open_dataset(tmp_path / "data")
    with pytest.raises(DataError, match=r"1 image cannot be read: green/000\.png"):
        pixels.decode(data, spec(), BadImages(), tmp_path / "pixels")
    bad = BadImages(1)
    classes = pixels.decode(data, spec(), bad, tmp_path / "pixels")
    assert [name for name, _ in bad.skipped] == ["green/000.png"]
    assert len(PixelFile(tmp_path / "pixels", (12, 12, 3))) == len(classes) == len(data) - 1
    assert classes == [label for index, label in enumerate(data.targets()) if data.name(index) != "green/000.png"]


def test_augmentation_is_repeatable() -> None:
    batch = images(6)[0]
    first = pixels.augment(batch, np.random.default_rng([1, 2, 3]))
    assert np.array_equal(first, pixels.augment(batch, np.random.default_rng([1, 2, 3])))
    assert not np.array_equal(first, pixels.augment(batch, np.random.default_rng([1, 2, 4])))


def test_augmentation_stays_in_the_range_of_pixels() -> None:
    batch = np.stack([np.zeros((9, 7, 1), np.uint8), np.full((9, 7, 1), 255, np.uint8)])
    for seed in range(20):
        result = pixels.augment(batch, np.random.default_rng(seed))
        assert result.shape == batch.shape
        assert result.dtype == np.float32
        assert result.min() >= 0
        assert result.max() <= 255


def test_augmentation_shifts_and_never_mirrors_or_turns() -> None:
    rows, columns = np.mgrid[:20, :30]
    ramp = (40 + 3 * columns + 5 * rows).astype(np.uint8)[None, :, :, None]
    for seed in range(60):
        result = pixels.augment(ramp, np.random.default_rng(seed))[0, :, :, 0]
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
        result = pixels.augment(spot, np.random.default_rng(seed))[0, :, :, 0]
        places.add(tuple(int(place) for place in np.unravel_index(int(result.argmax()), result.shape)))
    assert places == {(row, column) for row in (1, 2, 3) for column in (1, 2, 3)}


def test_statistics() -> None:
    found = pixels.statistics(np.array([10, 20, 30, 40], np.uint8).reshape(1, 2, 2, 1))
    assert (found.minimum, found.maximum, found.mean, found.std) == (10, 40, 25, 11.18)
