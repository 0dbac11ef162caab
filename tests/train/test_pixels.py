"""Images decoded once and kept on disk."""

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
from tests.keras_models import COLOURS
from tests.session_models import PHOTOS, spec


def test_the_file_holds_what_a_device_would_see(photos: Path, tmp_path: Path) -> None:
    data, said = open_dataset(photos), spec(preprocess=Preprocess("bilinear-aa", Crop("center")))
    kept = pixels.decode(data, said, BadImages(), tmp_path / "pixels")
    stored = PixelFile(tmp_path / "pixels", (12, 12, 3))
    assert len(stored) == PHOTOS
    assert kept == list(range(PHOTOS))
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
    kept = pixels.decode(data, spec(), bad, tmp_path / "more")
    assert [name for name, _ in bad.skipped] == ["green/000.png"]
    assert len(PixelFile(tmp_path / "more", (12, 12, 3))) == len(kept) == len(data) - 1
    assert kept == [index for index in range(len(data)) if data.name(index) != "green/000.png"]


def test_statistics() -> None:
    found = pixels.statistics(np.array([10, 20, 30, 40], np.uint8).reshape(1, 2, 2, 1))
    assert (found.minimum, found.maximum, found.mean, found.std) == (10, 40, 25, 11.18)
