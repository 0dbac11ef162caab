"""Choosing the representative dataset."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edgekit.core.errors import DataError
from edgekit.data.dataset import open_dataset
from edgekit.data.stream import BadImages
from edgekit.quantize import calibration
from edgekit.runtime import preprocess
from tests.keras_models import images
from tests.session_models import spec


def test_images_are_taken_evenly_over_the_classes(tmp_path: Path) -> None:
    classes = np.repeat([0, 1, 2], [80, 15, 5])
    np.savez(tmp_path / "uneven.npz", x=images(100)[0], y=classes)
    data = open_dataset(tmp_path / "uneven.npz")
    chosen = calibration.choose(data, spec(), 24, 0, BadImages())
    assert Counter(chosen.images.targets().tolist()) == {0: 10, 1: 9, 2: 5} or (
        Counter(chosen.images.targets().tolist()) == {0: 9, 1: 10, 2: 5}
    )
    again = calibration.choose(data, spec(), 24, 0, BadImages())
    assert again.sha256 == chosen.sha256
    assert calibration.choose(data, spec(), 24, 1, BadImages()).sha256 != chosen.sha256


def test_pixels_are_what_the_model_sees(photos: Path) -> None:
    said = spec("bgr")
    chosen = calibration.choose(open_dataset(photos), said, 9, 0, BadImages())
    assert chosen.pixels.shape == (9, 12, 12, 3)
    for index, pixels in enumerate(chosen.pixels):
        assert np.array_equal(pixels, preprocess.pixels(chosen.images.read(index), said))


def test_copies_are_left_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "copies.npz", x=np.repeat(images(12)[0], 5, axis=0), y=np.repeat(np.arange(12) % 3, 5))
    chosen = calibration.choose(open_dataset(tmp_path / "copies.npz"), spec(), 50, 0, BadImages())
    assert len(np.unique(chosen.pixels, axis=0)) == len(chosen.pixels) == 12


def test_unreadable_images_are_counted(photos: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(photos.rglob("*.png"))[::5]):
        (tmp_path / path.name).write_bytes(path.read_bytes()[: 100 if number == 3 else None])
    data, bad = open_dataset(tmp_path), BadImages(1)
    chosen = calibration.choose(data, spec(), 100, 0, bad)
    assert len(bad.skipped) == 1
    assert len(chosen.images) == len(chosen.pixels) == len(data) - 1


def test_what_cannot_calibrate_a_model_is_found_and_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", x=np.repeat(images(1)[0], 100, axis=0), y=np.zeros(100, int))
    data = open_dataset(tmp_path / "one.npz")
    [found] = calibration.gather(data, spec(), 50, 0, BadImages()).findings
    assert (found.kind, found.level) == ("one image", "refusal")
    with pytest.raises(DataError, match="it holds one image only, or the same one over and over"):
        calibration.choose(data, spec(), 50, 0, BadImages())


def test_classes_are_those_of_the_model(photos: Path) -> None:
    chosen = calibration.choose(open_dataset(photos), spec(labels=("green", "BLUE", "red")), 9, 0, BadImages())
    truth = chosen.truth(spec(labels=("green", "BLUE", "red")))
    assert truth is not None
    assert Counter(truth.tolist()) == {0: 3, 1: 3, 2: 3}
    assert chosen.names[int(np.flatnonzero(truth == 2)[0])].startswith("red/")
    with pytest.raises(DataError, match="has the class 'blue', which the model does not know"):
        chosen.truth(spec(labels=("a", "b", "c")))
    unlabelled = dataclasses.replace(chosen, images=chosen.images.unlabelled())
    assert unlabelled.truth(spec()) is None
