"""Small Keras models with weights by hand, all written by one call, which imports Keras: run it in a child process.

Each answers which colour is brightest (the gray one: whether the image is bright), so that every test knows the answer
without training. `answers.npz` holds what Keras itself says to the images of `probes`, float32 [N, scores].
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 12
COLOURS = ("red", "green", "blue")  # the order of the models' outputs
BGR_MEAN, BGR_STD = (103.939, 116.779, 123.68), (57.375, 57.12, 58.395)


def images(
    count: int, seed: int = 0, height: int = SIDE, width: int = SIDE
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images uint8 RGB [N, H, W, 3] and which of `COLOURS` is brightest in them [N]: one third of each."""
    rng = np.random.default_rng(seed)
    classes = np.arange(count) % len(COLOURS)
    pixels = rng.integers(0, 130, (count, height, width, 3)).astype(np.float64)
    pixels *= rng.uniform(0.6, 1, (count, 1, 1, 1)) * np.linspace(0.7, 1, width)[:, None]
    pixels[np.arange(count), :, :, classes] += rng.uniform(60, 120, (count, 1, 1))
    return pixels.round().astype(np.uint8), classes


def probes() -> NDArray[np.uint8]:
    """What `answers.npz` is about, uint8 RGB [12, SIDE, SIDE, 3]."""
    return images(12, seed=99)[0]


def write(folder: str) -> None:
    """Write all the models, and `answers.npz`."""
    import tensorflow  # noqa: F401 -- before Keras

    # isort: split
    import keras

    keras.utils.set_random_seed(0)
    target = Path(folder)
    rgb = probes().astype(np.float32)
    bgr = (rgb[..., ::-1] - np.array(BGR_MEAN, np.float32)) / np.array(BGR_STD, np.float32)
    gray = (rgb.mean(-1, keepdims=True).round() / 255).astype(np.float32)
    answers: dict[str, NDArray[np.float32]] = {}

    def keep(name: str, model: Any, inputs: NDArray[Any]) -> Any:
        answers[name] = np.asarray(model(inputs, training=False))
        return model

    rescaled = keep("rescaled", _net(keras, rescale=True), rgb)
    rescaled.save(target / "rescaled.keras")
    (target / "architecture.json").write_text(rescaled.to_json())
    rescaled.save_weights(target / "architecture.weights.h5")
    rescaled.export(target / "saved_model", verbose=False)
    keep("scaled", _net(keras), rgb / 127.5 - 1).save(target / "scaled.h5")
    keep("bgr", _net(keras, activation=None, order=(2, 1, 0)), bgr).save(target / "bgr.keras")
    keep("gray", _gray(keras), gray).save(target / "gray.keras")
    keep("open", _net(keras, side=None, rescale=True), rgb).save(target / "open.keras")
    keep("hard", _hard(keras), rgb).save(target / "hard.keras")
    _net(keras, rescale=True, gain=0.0).save(target / "constant.keras")
    _net(keras, rescale=True, gain=float("nan")).save(target / "nan.keras")
    _unsupported(keras).save(target / "unsupported.keras")
    np.savez(target / "answers.npz", allow_pickle=False, **answers)


def _net(
    keras: Any,
    *,
    side: int | None = SIDE,
    rescale: bool = False,
    activation: str | None = "softmax",
    order: tuple[int, ...] = (0, 1, 2),
    gain: float = 8.0,
) -> Any:
    """Convolution, normalization, depthwise and pointwise convolution, mean, dense; `order`: channel of a colour."""
    layers = keras.layers
    image = keras.Input((side, side, 3), name="photo")
    x = layers.Rescaling(1 / 127.5, -1.0, name="rescaling")(image) if rescale else image
    x = layers.Conv2D(8, 3, padding="same", name="stem")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(6.0, name="relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.Conv2D(8, 1, activation="relu", name="pointwise")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, layers.Dense(3, activation=activation, name="colours")(x))
    rng = np.random.default_rng(1)
    stem, means = rng.normal(0, 0.05, (3, 3, 3, 8)), rng.normal(0, 0.05, (3, 3, 8, 1))
    points, dense = rng.normal(0, 0.02, (1, 1, 8, 8)), rng.normal(0, 0.02, (8, 3))
    for colour, channel in enumerate(order):
        stem[:, :, channel, colour] += 1 / 9
        points[0, 0, colour, colour] += 1
        dense[colour, colour] += 1
    means[1, 1] += 1
    model.get_layer("stem").set_weights([stem, np.full(8, 1.2)])
    model.get_layer("norm").set_weights([np.full(8, 1.1), np.full(8, 0.1), np.full(8, 0.05), np.full(8, 0.9)])
    model.get_layer("depthwise").set_weights([means, np.zeros(8)])
    model.get_layer("pointwise").set_weights([points, np.full(8, 0.1)])
    model.get_layer("colours").set_weights([gain * dense, np.zeros(3)])
    return model


def _gray(keras: Any) -> Any:
    """Gray pixels of 0..1 in; one sigmoid: is it bright?"""
    image = keras.Input((SIDE, SIDE, 1), name="photo")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")(image)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, keras.layers.Dense(1, activation="sigmoid", name="bright")(x))
    model.get_layer("stem").set_weights([np.full((3, 3, 1, 4), 1 / 9), np.zeros(4)])
    model.get_layer("bright").set_weights([np.full((4, 1), 10.0), np.array([-13.0])])
    return model


def _hard(keras: Any) -> Any:
    """What tells the colours apart is a thousandth of another channel: 8 bits per tensor cannot hold both."""
    image = keras.Input((SIDE, SIDE, 3), name="photo")
    x = keras.layers.Conv2D(4, 1, name="stem")(image)
    x = keras.layers.AveragePooling2D(SIDE, name="pool")(x)
    x = keras.layers.Flatten(name="flat")(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax", name="colours")(x))
    kernel, dense = np.zeros((1, 1, 3, 4)), np.zeros((4, 3))
    kernel[0, 0, range(3), range(3)] = 1 / 255
    dense[range(3), range(3)] = 30
    model.get_layer("stem").set_weights([kernel, np.array([0, 0, 0, 1000.0])])
    model.get_layer("colours").set_weights([dense, np.zeros(3)])
    return model


def _unsupported(keras: Any) -> Any:
    """An operator that TFLite does not have."""
    image = keras.Input((SIDE, SIDE, 3), name="photo")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(image)
    x = keras.ops.erfinv(x / 256)
    return keras.Model(image, keras.layers.Dense(3, activation="softmax", name="colours")(x))
