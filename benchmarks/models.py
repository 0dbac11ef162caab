"""The models and images that the benchmarks use, made when first asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.convert.run import convert
from edgekit.core import child, embed
from edgekit.data.dataset import Dataset
from edgekit.data.stream import BadImages, map_images
from edgekit.importers.options import SpecOptions
from edgekit.importers.run import import_model
from edgekit.quantize.plan import CALIBRATED
from edgekit.runtime import modelfile, preprocess
from edgekit.runtime.spec import Crop
from edgekit.train import imagenet
from edgekit.train.fit import train
from tests import hard

DIGITS = Path(__file__).resolve().parent.parent / "models" / "digits" / "digits.npz"
MOBILENET_SIDE, MOBILENET_MEAN, MOBILENET_STD = 96, 127.5, 127.5
CLASSES = 10


def mobilenet(work: Path) -> Path:
    """MobileNetV2 for 96 × 96 pixels and 10 classes with random weights, as a `.keras` file with its spec."""
    model = work / "mobilenet.keras"
    if not model.exists():
        bare = work / "mobilenet.bare.keras"
        child.call("benchmarks.models:save_mobilenet", purpose="Making MobileNetV2", path=str(bare))
        import_model(bare, model, SpecOptions(
            labels=",".join(map(str, range(CLASSES))), resize="bilinear-aa", crop="center",
            mean=str(MOBILENET_MEAN), std=str(MOBILENET_STD),
        ))
    return model


def save_mobilenet(path: str) -> None:
    """In a child process: make it and save it.

    Batch normalisation takes its statistics from a few images, as training would leave them. With its first ones,
    0 and 1, or with random ones, the signal dies on its way: the model answers the same whatever it sees.
    """
    import keras

    keras.utils.set_random_seed(1)
    shape = (MOBILENET_SIDE, MOBILENET_SIDE, 3)
    model = keras.applications.MobileNetV2(weights=None, input_shape=shape, classes=CLASSES)
    images = np.stack([photo(number, MOBILENET_SIDE) for number in range(32)])
    _settle(model, (images.astype(np.float32) - MOBILENET_MEAN) / MOBILENET_STD)
    model.save(path)


def _settle(model: Any, inputs: NDArray[np.float32]) -> None:
    """Let batch normalization take its statistics from these inputs."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(inputs, training=True)


def mobilenet_v3(work: Path) -> Path:
    """MobileNetV3-Small (hard-swish, squeeze-and-excite) in the same way; it normalises its pixels itself."""
    model = work / "mobilenet_v3.keras"
    if not model.exists():
        bare = work / "mobilenet_v3.bare.keras"
        child.call("benchmarks.models:save_mobilenet_v3", purpose="Making MobileNetV3", path=str(bare))
        import_model(bare, model, SpecOptions(
            labels=",".join(map(str, range(CLASSES))), resize="bilinear-aa", crop="center", mean="0", std="1",
        ))
    return model


def save_mobilenet_v3(path: str) -> None:
    """In a child process: make it and save it."""
    import keras

    keras.utils.set_random_seed(1)
    shape = (MOBILENET_SIDE, MOBILENET_SIDE, 3)
    model = keras.applications.MobileNetV3Small(weights=None, input_shape=shape, classes=CLASSES)
    _settle(model, np.stack([photo(number, MOBILENET_SIDE) for number in range(32)]).astype(np.float32))
    model.save(path)


def reader(work: Path, kind: str) -> Path:
    """A network that reads digits row by row with an LSTM or GRU, trained on them; takes pixels from 0 to 255."""
    model = work / f"{kind}.keras"
    if not model.exists():
        bare = work / f"{kind}.bare.keras"
        child.call("benchmarks.models:save_reader", purpose=f"Training an {kind}", path=str(bare), kind=kind)
        import_model(bare, model, SpecOptions(
            labels=",".join(map(str, range(CLASSES))), resize="bilinear-aa", crop="none", mean="0", std="1",
        ))
    return model


def save_reader(path: str, kind: str) -> None:
    """In a child process: train it and save it."""
    import keras

    keras.utils.set_random_seed(1)
    archive = np.load(DIGITS)
    image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Reshape((8, 8))(keras.layers.Rescaling(1 / 255)(image))
    x = getattr(keras.layers, kind)(64)(x)
    model = keras.Model(image, keras.layers.Dense(CLASSES, activation="softmax", name="scores")(x))
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    model.fit(archive["x"][..., None].astype(np.float32), archive["y"], epochs=15, verbose=0)
    model.save(path)


def digits(work: Path) -> Path:
    """The CNN that edgekit trains, on digits, for a few epochs: enough to measure its speed."""
    model = work / "digits.keras"
    if not model.exists():
        train(DIGITS, model, epochs=3)
    return model


def trained_digits(work: Path) -> Path:
    """The same, trained as `models/digits` is."""
    model = work / "trained_digits.keras"
    if not model.exists():
        train(DIGITS, model, seed=0)
    return model


def hard_digits(work: Path, pairs: Sequence[str] | None = None) -> Path:
    """The same, made hard to quantize: all of it, or the channels of some layers; see `tests/hard.py`."""
    model = work / f"hard_digits{len(pairs or ())}.keras"
    if not model.exists():
        hard.harden(trained_digits(work), model, pairs=pairs)
    return model


def efficientnet(work: Path) -> Path:
    """EfficientNet-Lite0 with its ImageNet weights and classes; its spec keeps images of its own size as they are."""
    model = work / "efficientnet_lite0.keras"
    if not model.exists():
        spec = imagenet.write(model).spec
        whole = dataclasses.replace(spec.preprocess, crop=Crop("center"))
        embed.write_spec(model, dataclasses.replace(spec, preprocess=whole), model)
    return model


def converted(model: Path, scheme: str, ending: str, images: Path, samples: int = 200) -> Path:
    """A `.keras` model as a `.tflite` or `.onnx` file; calibrated on `samples` of `images` where that is needed.

    Quantized files are made of the float file, which spares a start of TensorFlow for each.
    """
    target = model.with_suffix(f".{scheme}.{ending}")
    if not target.exists():
        source = model if scheme == "none" else converted(model, "none", ending, images)
        calibrate = images if scheme in CALIBRATED else None
        convert(source, target, quantize=scheme, calibrate=calibrate, samples=samples)
    return target


def prepared(data: Dataset, model: Path, target: Path) -> Path:
    """An `.npz` file of labelled images, cropped and resized for a model: nothing is left to do to them."""
    spec = modelfile.read_spec(model)
    assert spec is not None
    seen = map_images(lambda image: preprocess.pixels(image, spec), data, BadImages(),
                      orientation=spec.preprocess.orientation)
    np.savez(target, x=np.stack([pixels for _, pixels in seen]), y=np.array(data.labels)[data.targets()])
    return target


def photo(number: int, side: int) -> NDArray[np.uint8]:
    """A smooth random image, uint8 [side, side, 3]: noise compresses and decodes unlike any photo."""
    coarse = np.random.default_rng(number).integers(0, 256, (12, 12, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def photos(work: Path, count: int) -> Path:
    """An `.npz` file of `count` photos of MobileNet's size, in 10 classes."""
    path = work / f"photos{count}.npz"
    if not path.exists():
        images = np.stack([photo(number, MOBILENET_SIDE) for number in range(count)])
        np.savez(path, x=images, y=np.arange(count) % CLASSES)
    return path
