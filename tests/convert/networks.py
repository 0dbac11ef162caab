"""Runs in a child process, since it needs TensorFlow: networks that are hard to convert, trained a little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests import keras_models
from tests.keras_models import COLOURS, SIDE

EPOCHS = 6


def write(folder: str, name: str) -> None:
    """Write the network of this name as `.keras`, and as the float `.tflite` and `.onnx` that `edgekit convert` makes.

    What Keras itself says to the images of `keras_models.probes` goes to `NAME.tflite.npy`.
    """
    import tensorflow  # noqa: F401 -- before Keras

    # isort: split
    import keras

    from edgekit.convert import keras_graph

    keras.utils.set_random_seed(0)
    pixels, classes = keras_models.images(400, 5)
    model = NETWORKS[name](keras)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(pixels.astype(np.float32), classes, epochs=EPOCHS, verbose=0)
    target = Path(folder)
    if name == "lstm":
        model.export(target / "saved_model", verbose=False)
    model.save(target / f"{name}.keras")
    np.save(target / "probes.npy", keras_models.probes().astype(np.float32))
    for convert in (keras_graph.to_tflite, keras_graph.to_onnx):
        made = target / f"{name}.{convert.__name__[3:]}"
        convert(str(target / f"{name}.keras"), str(made), str(target / "probes.npy"), f"{made}.npy", False)


def _reader(keras: Any, *layers: Any) -> Any:
    """Reads an image row by row."""
    image = keras.Input((SIDE, SIDE, 3), name="photo")
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(image)
    x = keras.layers.TimeDistributed(keras.layers.Flatten(), name="rows")(x)
    for layer in layers:
        x = layer(x)
    return keras.Model(image, keras.layers.Dense(len(COLOURS), activation="softmax", name="colours")(x))


def _mobilenet(keras: Any) -> Any:
    """MobileNetV3-Small for 64 pixels; batch normalization with little momentum, so that a few steps settle it."""
    image = keras.Input((SIDE, SIDE, 3), name="photo")
    features = keras.applications.MobileNetV3Small(
        weights=None, include_top=False, input_shape=(64, 64, 3), pooling="avg"
    )
    for layer in features.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.5
    x = features(keras.layers.Resizing(64, 64)(image))
    return keras.Model(image, keras.layers.Dense(len(COLOURS), activation="softmax", name="colours")(x))


NETWORKS = {
    "lstm": lambda keras: _reader(keras, keras.layers.LSTM(24)),
    "gru": lambda keras: _reader(keras, keras.layers.GRU(24)),
    "unrolled": lambda keras: _reader(keras, keras.layers.LSTM(24, unroll=True)),
    "both_ways": lambda keras: _reader(keras, keras.layers.Bidirectional(keras.layers.LSTM(16))),
    "stacked": lambda keras: _reader(keras, keras.layers.LSTM(16, return_sequences=True), keras.layers.GRU(16)),
    "mobilenet_v3": _mobilenet,
}
