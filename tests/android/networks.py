"""A small real network without Keras, and what edgekit's own conversion makes of it in every scheme."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.convert.run import convert
from edgekit.core import embed
from edgekit.runtime.classify import Classifier
from edgekit.runtime.spec import Crop, InputSpec, ModelSpec, OutputSpec, Preprocess, Quantization
from tests.models import TFLiteFile

SIDE = 32
CLASSES = 10
SAMPLES = 64


def spec(classes: int = CLASSES) -> ModelSpec:
    """How the network is fed: bytes scaled to 0..1."""
    return ModelSpec(
        InputSpec("image", SIDE, SIDE, 3, "float32"),
        Preprocess("bilinear", Crop("none"), mean=(0.0,) * 3, std=(255.0,) * 3),
        OutputSpec("scores", "softmax"),
        tuple(f"class {number}" for number in range(classes)),
    )


def network(path: Path, classes: int = CLASSES) -> Path:
    """Write the network, its answers spread over the classes: two passes, the second with a bias that levels them."""
    _write(path, np.zeros(classes, np.float32))
    scores = Classifier(path).scores(np.asarray(images(), np.float32) / np.float32(255))
    return _write(path, -np.log(scores + np.float32(1e-20)).mean(0))


def _write(path: Path, dense_bias: NDArray[np.float32]) -> Path:
    """Write a float `.tflite` with a spec: convolutions, depthwise convolutions, a residual, and a dense layer.

    The rows of the dense layer are of very different sizes: a runtime that takes one scale for all of them is far off.
    """
    random, file = np.random.default_rng(5), TFLiteFile()
    schema = file.schema

    def weights(*shape: int, gain: float = 1.4) -> NDArray[np.float32]:
        spread = gain / np.sqrt(np.prod(shape[1:]))
        return np.asarray(random.normal(0, spread, shape), np.float32)

    def convolution(source: int, side: int, channels: int, kernel: int, stride: int, depthwise: bool = False) -> int:
        incoming = file.graph.tensors[source].shape[3]
        shape = [1, kernel, kernel, channels] if depthwise else [channels, kernel, kernel, incoming]
        values = weights(*shape) if not depthwise else weights(*shape, gain=3.0 * np.sqrt(channels))
        name = f"layer{len(file.graph.operators)}"
        matrix = file.tensor(f"{name}/weights", shape, data=values)
        bias = file.tensor(f"{name}/bias", [channels], data=np.asarray(random.uniform(0, 0.3, channels), np.float32))
        result = file.tensor(name, [1, side, side, channels])
        kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        options = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
        more = {"depthMultiplier": 1} if depthwise else {}
        file.operator(
            kind, [source, matrix, bias], [result], options,
            padding=schema.Padding.SAME, strideH=stride, strideW=stride, dilationHFactor=1, dilationWFactor=1,
            fusedActivationFunction=schema.ActivationFunctionType.RELU6, **more,
        )  # fmt: skip
        return result

    image = file.tensor("image", [1, SIDE, SIDE, 3])
    first = convolution(image, 16, 16, 3, 2)
    second = convolution(convolution(first, 16, 16, 3, 1, depthwise=True), 16, 16, 1, 1)
    total = file.tensor("total", [1, 16, 16, 16])
    file.operator("ADD", [first, second], [total], "AddOptions")
    wide = convolution(convolution(total, 8, 16, 3, 2, depthwise=True), 8, 32, 1, 1)
    last = convolution(convolution(wide, 4, 32, 3, 2, depthwise=True), 4, 64, 1, 1)
    axes = file.tensor("axes", [2], "INT32", np.array([1, 2], np.int32))
    classes = len(dense_bias)
    sizes = {"means": 64, "logits": classes, "scores": classes}
    means, logits, scores = (file.tensor(name, [1, size]) for name, size in sizes.items())
    file.operator("MEAN", [last, axes], [means], "ReducerOptions")
    rows = weights(classes, 64, gain=5.0) * np.geomspace(0.3, 3, classes, dtype=np.float32)[:, None]
    dense = file.tensor("dense/weights", [classes, 64], data=np.ascontiguousarray(rows))
    bias = file.tensor("dense/bias", [classes], data=dense_bias)
    file.operator("FULLY_CONNECTED", [means, dense, bias], [logits], "FullyConnectedOptions")
    file.operator("SOFTMAX", [logits], [scores], "SoftmaxOptions", beta=1.0)
    path.write_bytes(file.content([image], [scores]))
    embed.write_spec(path, spec(classes), path)
    return path


def images(count: int = SAMPLES, seed: int = 3) -> NDArray[np.uint8]:
    """Coloured gradients with noise, uint8 [count, SIDE, SIDE, 3]."""
    random = np.random.default_rng(seed)
    ramps = np.linspace(-1, 1, SIDE)
    slopes = random.normal(0, 60, (count, 2, 1, 1, 3))
    smooth = slopes[:, 0] * ramps[:, None, None] + slopes[:, 1] * ramps[None, :, None]
    levels = random.uniform(40, 215, (count, 1, 1, 3))
    noise = random.normal(0, 25, (count, SIDE, SIDE, 3))
    return np.asarray(np.clip(levels + smooth + noise, 0, 255), np.uint8)


def in_every_scheme(folder: Path) -> dict[str, Path]:
    """Write the network into a folder in each scheme of `edgekit convert`; gives the files by scheme."""
    source = network(folder / "network.float.tflite")
    return {scheme: _quantized(source, scheme) for scheme in ("none", "float16", "dynamic", "int8", "int16x8")}


def int8(folder: Path, classes: int) -> Path:
    """Write the network for this number of classes in int8; gives the file."""
    folder.mkdir()
    return _quantized(network(folder / "network.float.tflite", classes), "int8")


def _quantized(source: Path, scheme: str) -> Path:
    photos = source.with_name("photos.npz")
    np.savez(photos, x=images(), y=np.zeros(SAMPLES, np.int64))
    calibrate = photos if scheme.startswith("int") else None
    return convert(source, source.with_name(f"{scheme}.tflite"), quantize=scheme, calibrate=calibrate).path


def third_party(path: Path) -> Path:
    """Write a file as old converters made them: uint8 in, inside and out, weights with a zero point, and no spec."""
    random, file = np.random.default_rng(8), TFLiteFile()
    schema = file.schema

    def quantized(name: str, shape: list[int], scale: float, zero: int, values: NDArray[np.uint8] | None = None) -> int:
        index = file.tensor(name, shape, "UINT8", values)
        _quantize(index, scale, zero)
        return index

    def _quantize(index: int, scale: float, zero: int) -> None:
        said = file.graph.tensors[index].quantization = schema.QuantizationParametersT()
        said.scale, said.zeroPoint = [scale], [zero]

    image = quantized("image", [1, SIDE, SIDE, 3], 1 / 128, 128)
    weights = np.asarray(random.integers(0, 256, (8, 5, 5, 3)), np.uint8)
    kernel = quantized("kernel", [8, 5, 5, 3], 0.004, 121, weights)
    bias = file.tensor("bias", [8], "INT32", np.asarray(random.integers(0, 20000, 8), np.int32))
    _quantize(bias, 0.004 / 128, 0)
    maps = quantized("maps", [1, 16, 16, 8], 6 / 255, 0)
    file.operator(
        "CONV_2D", [image, kernel, bias], [maps], "Conv2DOptions",
        padding=schema.Padding.SAME, strideH=2, strideW=2, dilationHFactor=1, dilationWFactor=1,
        fusedActivationFunction=schema.ActivationFunctionType.RELU6,
    )  # fmt: skip
    means = quantized("means", [1, 1, 1, 8], 6 / 255, 0)
    flat, scores = quantized("flat", [1, 8], 6 / 255, 0), quantized("scores", [1, 8], 1 / 256, 0)
    file.operator(
        "AVERAGE_POOL_2D", [maps], [means], "Pool2DOptions",
        padding=schema.Padding.VALID, strideH=1, strideW=1, filterHeight=16, filterWidth=16,
    )  # fmt: skip
    size = file.tensor("size", [2], "INT32", np.array([1, 8], np.int32))
    file.operator("RESHAPE", [means, size], [flat], "ReshapeOptions", newShape=np.array([1, 8], np.int32))
    file.operator("SOFTMAX", [flat], [scores], "SoftmaxOptions", beta=1.0)
    path.write_bytes(file.content([image], [scores]))
    return path


def third_party_spec() -> ModelSpec:
    """What `edgekit import` would be told of `third_party`."""
    return ModelSpec(
        InputSpec("image", SIDE, SIDE, 3, "uint8", quantization=Quantization(1 / 128, 128)),
        Preprocess("bilinear", Crop("none"), mean=(128.0,) * 3, std=(128.0,) * 3),
        OutputSpec("scores", "softmax", "uint8", quantization=Quantization(1 / 256, 0)),
        spec(8).labels,
    )
