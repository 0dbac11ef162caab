"""Which images a model may be trained on: none that it is judged by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.core.errors import DataError, EdgekitError
from edgekit.data.dataset import open_dataset
from edgekit.data.stream import BadImages
from edgekit.optimize.training import training_data
from tests import keras_models, models
from tests.keras_models import COLOURS
from tests.session_models import spec


def folder_of(path: Path, pixels: np.ndarray, colours: np.ndarray) -> Path:
    for number, (image, colour) in enumerate(zip(pixels, colours, strict=True)):
        file = path / COLOURS[colour] / f"{number:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    return path


def test_images_that_judge_are_left_out_in_another_format_too(tmp_path: Path) -> None:
    pixels, colours = keras_models.images(40, 5)
    np.savez(tmp_path / "data.npz", x=pixels, y=np.array(COLOURS)[colours])
    judging = open_dataset(tmp_path / "data.npz").subset(range(24))
    source = models.keras(tmp_path / "m.keras")
    kept = training_data(source, spec(), tmp_path / "data.npz", [judging], BadImages())
    assert len(kept) == 16
    photos = folder_of(tmp_path / "photos", pixels, colours)
    assert len(training_data(source, spec(), photos, [judging], BadImages())) == 16
    with pytest.raises(DataError, match="are among those that candidates are judged by"):
        training_data(source, spec(), photos, [open_dataset(tmp_path / "data.npz")], BadImages())


def test_what_cannot_be_trained_on(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=keras_models.images(40, 5)[0])
    with pytest.raises(EdgekitError, match=r"needs a \.keras file"):
        training_data(models.tflite(tmp_path / "m.tflite"), spec(), tmp_path / "data.npz", [], BadImages())
    with pytest.raises(DataError, match="has no labels to train on"):
        training_data(models.keras(tmp_path / "m.keras"), spec(), tmp_path / "data.npz", [], BadImages())
