"""One real Keras model, saved in every way, and SavedModels written by TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tests.conftest import Needs


@dataclass(frozen=True)
class Saved:
    """`folder` holds model.keras, model.h5, model.json, new.weights.h5, old.h5 (weights only) and exported/; the model
    answers `images` (float32 [4, 8, 8, 3], 0..255) with `answers` (float32 [4, 3])."""

    folder: Path
    images: NDArray[np.float32]
    answers: NDArray[np.float32]


@pytest.fixture(scope="session")
def tf(needs: Needs) -> Any:
    needs.module("tensorflow", "pip install 'edgekit[keras]'")
    import tensorflow

    return tensorflow


@pytest.fixture(scope="session")
def keras(tf: Any) -> Any:
    import keras

    return keras


@pytest.fixture(scope="session")
def saved(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    import h5py

    folder = tmp_path_factory.mktemp("saved")
    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(image)
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu", name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax", name="scores")(x), name="small")
    model.compile(loss="categorical_crossentropy")
    images = np.random.default_rng(1).uniform(0, 255, (4, 8, 8, 3)).astype(np.float32)
    model.get_layer("norm").set_weights([np.full(4, value, np.float32) for value in (1.5, 0.1, 0.3, 0.5)])

    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    (folder / "model.json").write_text(model.to_json())
    model.save_weights(folder / "new.weights.h5")
    with h5py.File(folder / "model.h5") as whole, h5py.File(folder / "old.h5", "w") as weights:
        for key, value in whole["model_weights"].attrs.items():
            weights.attrs[key] = value
        for key in whole["model_weights"]:
            whole.copy(f"model_weights/{key}", weights)
    model.export(folder / "exported", verbose=False)
    return Saved(folder, images, np.asarray(model(images)))
