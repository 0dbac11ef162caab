"""What is told of a model: how it normalises its input, and the activation that its scores come out of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.importers import keras_inspect

Build = Callable[[Any, Any], Any]


def sequential(*make: Callable[[Any], Any]) -> Build:
    return lambda keras, layers: keras.Sequential([keras.Input((8, 8, 3)), *(one(layers) for one in make)])


def after(prepare: Build, shape: tuple[int | None, ...] = (8, 8, 3), **options: Any) -> Build:
    """A model with `prepare(keras, image)` between its input and a convolution."""

    def build(keras: Any, layers: Any) -> Any:
        image = keras.Input(shape, **options)
        x = layers.Conv2D(2, 1)(prepare(keras, image))
        return keras.Model(image, layers.GlobalAveragePooling2D()(x))

    return build


def nested(keras: Any, *layers: Any) -> Any:
    return keras.Sequential(layers)


def two_ways(keras: Any, image: Any) -> Any:
    """The raw image is used beside the normalised one."""
    return keras.layers.Add()([keras.layers.Rescaling(2.0)(image), keras.layers.Conv2D(3, 1)(image)])


IMAGENET = {"mean": [0.485, 0.456, 0.406], "variance": [0.229**2, 0.224**2, 0.225**2]}


@pytest.mark.parametrize(
    ("build", "mean", "std"),
    [
        (after(lambda keras, x: keras.layers.Rescaling(1 / 255)(x)), [0, 0, 0], [255, 255, 255]),
        (after(lambda keras, x: keras.layers.Rescaling(1 / 127.5, offset=-1)(x)), [127.5] * 3, [127.5] * 3),
        (after(lambda keras, x: keras.layers.Normalization(**IMAGENET)(keras.layers.Rescaling(1 / 255)(x))),
         [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
        (after(lambda keras, x: keras.applications.mobilenet_v2.preprocess_input(x)), [127.5] * 3, [127.5] * 3),
        (after(lambda keras, x: nested(keras, keras.layers.RandomFlip(), keras.layers.Rescaling(1 / 255))(x)),
         [0, 0, 0], [255, 255, 255]),
        (after(lambda keras, x: nested(keras, keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(3, 1))(x)),
         [0, 0, 0], [255, 255, 255]),
        (after(lambda keras, x: keras.layers.Rescaling(2.0)(keras.layers.Resizing(4, 4)(x))), [0, 0, 0], [0.5] * 3),
        (after(lambda keras, x: keras.layers.Rescaling(1 / 255)(x), (None, None, 3)), [0, 0, 0], [255, 255, 255]),
        (after(lambda keras, x: keras.layers.Rescaling(1 / 255)(x), (8, 8, 1), dtype="uint8", batch_size=1),
         [0], [255]),
    ],
    ids=["rescaling", "minus one to one", "ImageNet", "preprocess_input", "nested", "nested with more", "resized",
         "open size", "gray bytes"],
)
def test_normalization(keras: Any, build: Build, mean: list[float], std: list[float]) -> None:
    found = keras_inspect.first_normalization(build(keras, keras.layers))
    assert found is not None
    assert found["mean"] == pytest.approx(mean, rel=1e-5)
    assert found["std"] == pytest.approx(std, rel=1e-5)


def test_reversed_channels(keras: Any) -> None:
    """Keras' "caffe" preprocessing: RGB in, BGR minus its means inside; told in the order of the input."""
    build = after(lambda keras, x: keras.applications.resnet50.preprocess_input(x))
    found = keras_inspect.first_normalization(build(keras, keras.layers))
    assert found == {"mean": [123.68, 116.779, 103.939], "std": [1, 1, 1]}


@pytest.mark.parametrize(
    "build",
    [
        after(lambda keras, x: x),
        after(lambda keras, x: x * x),
        after(lambda keras, x: keras.layers.Rescaling(-1.0, offset=255)(x)),
        after(two_ways),
        after(lambda keras, x: keras.layers.Rescaling(1 / 255)(x), (8, 8, 4)),
        lambda keras, layers: keras.Sequential([keras.Input((12,)), layers.Rescaling(2.0), layers.Dense(2)]),
    ],
    ids=["nothing", "squared", "negative", "used raw as well", "four channels", "no image"],
)
def test_no_normalization(keras: Any, build: Build) -> None:
    assert keras_inspect.first_normalization(build(keras, keras.layers)) is None


@pytest.mark.parametrize(
    ("build", "activation"),
    [
        (sequential(lambda k: k.Flatten(), lambda k: k.Dense(2, activation="softmax")), "softmax"),
        (sequential(lambda k: k.Flatten(), lambda k: k.Dense(1, activation="sigmoid")), "sigmoid"),
        (sequential(lambda k: k.Flatten(), lambda k: k.Dense(2)), "linear"),
        (sequential(lambda k: k.Flatten(), lambda k: k.Dense(2), lambda k: k.Softmax()), "softmax"),
        (sequential(lambda k: k.Flatten(), lambda k: k.Dense(2), lambda k: k.Activation("softmax")), "softmax"),
        (sequential(lambda k: k.Conv2D(2, 8, activation="softmax"), lambda k: k.Flatten(), lambda k: k.Dropout(0.1)),
         "softmax"),
        (sequential(lambda k: k.Conv2D(2, 1), lambda k: k.GlobalAveragePooling2D()), "unknown"),
        (lambda keras, layers: keras.Sequential([
            keras.Input((8, 8, 3)), layers.Flatten(), nested(keras, layers.Dense(2, activation="softmax"))]),
         "softmax"),
        (lambda keras, layers: keras.Model(image := keras.Input((4,)), keras.ops.sigmoid(layers.Dense(1)(image))),
         "sigmoid"),
    ],
)
def test_last_activation(keras: Any, build: Build, activation: str) -> None:
    assert keras_inspect.last_activation(build(keras, keras.layers)) == activation


def test_a_sequential_that_has_been_saved_and_loaded(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    whole = [keras.Input((8, 8, 3)), layers.Rescaling(1 / 255), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2)]
    keras.Sequential(whole).save(tmp_path / "m.keras")
    found = keras_inspect.first_normalization(keras.models.load_model(tmp_path / "m.keras"))
    assert found == {"mean": [0.0] * 3, "std": [255.0] * 3}
