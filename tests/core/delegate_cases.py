"""Models of one operator each, in the ways in which it can be quantized and set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.models import TFLiteFile

SIDE, CHANNELS = 6, 4
IMAGE = [1, SIDE, SIDE, CHANNELS]
QUANTIZED = ("INT8", "UINT8")
DTYPES = ("FLOAT32", *QUANTIZED)
FLOAT_UNARY = ("CEIL", "EXP", "FLOOR", "LOG", "NEG", "ROUND", "RSQRT", "SIN", "SQRT", "SQUARE")
UNARY = ("ABS", "ELU", "HARD_SWISH", "LOGISTIC", "RELU", "RELU6", "TANH")
BINARY = {"ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions", "DIV": "DivOptions",
          "MAXIMUM": "MaximumMinimumOptions", "SQUARED_DIFFERENCE": "SquaredDifferenceOptions"}
OPTIONS = {"CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
           "FULLY_CONNECTED": "FullyConnectedOptions", "TRANSPOSE_CONV": "TransposeConvOptions"}
NUMPY = {"FLOAT32": np.float32, "INT8": np.int8, "UINT8": np.uint8, "INT32": np.int32, "FLOAT16": np.float16}


class OneOperator:
    """Builds a model whose only operator takes the input `x`, and constants."""

    def __init__(self) -> None:
        self.file = TFLiteFile()
        self.inputs: list[int] = []

    def tensor(self, name: str, shape: list[int], dtype: str, scales: int = 0, axis: int = 0, scale: float = 0.1,
               zero_point: int = 0, data: Any = None) -> int:
        """Add a tensor; a quantized one has one scale, or `scales` along `axis`."""
        index = self.file.tensor(name, shape, dtype, data)
        if dtype in QUANTIZED or (dtype == "INT32" and scales):
            said = self.file.graph.tensors[index].quantization = self.file.schema.QuantizationParametersT()
            said.scale, said.zeroPoint = [scale] * max(1, scales), [zero_point] * max(1, scales)
            said.quantizedDimension = axis
        return index

    def constant(self, name: str, shape: list[int], dtype: str, scales: int, axis: int = 0) -> int:
        """Add weights of ones."""
        return self.tensor(name, shape, dtype, scales, axis, data=np.ones(shape, NUMPY[dtype]))

    def integers(self, *values: Any) -> int:
        """Add a constant of 32-bit integers."""
        data = np.asarray(values, np.int32)
        return self.file.tensor(f"integers{len(self.file.graph.tensors)}", list(data.shape), "INT32", data)

    def write(self, path: Path, kind: str, inputs: list[int], output: int, options: str = "", **values: Any) -> Path:
        """Finish the model; those of `inputs` without data are the model's inputs."""
        self.file.operator(kind, inputs, [output], options, **values)
        free = [index for index in inputs if index >= 0 and self.file.graph.tensors[index].buffer == 0]
        path.write_bytes(self.file.content(free, [output]))
        return path


def cases(folder: Path) -> Iterator[tuple[str, Path]]:
    """Write the models; gives what each of them is, and its path."""
    for number, (name, path) in enumerate(_cases(folder)):
        target = folder / f"{number}.tflite"
        path.rename(target)
        yield name, target


def _cases(folder: Path) -> Iterator[tuple[str, Path]]:
    path = folder / "case.tflite"
    for kind in (*FLOAT_UNARY, *UNARY):
        for dtype in ("FLOAT32",) if kind in FLOAT_UNARY else ("FLOAT32", "INT8"):
            one = OneOperator()
            fixed = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}  # TFLite wants these
            scale, zero_point = fixed.get(kind, (0.1, 0))
            result = one.tensor("y", IMAGE, dtype, scale=scale, zero_point=zero_point)
            yield f"{kind} {dtype}", one.write(path, kind, [one.tensor("x", IMAGE, dtype)], result)
    for kind, options in BINARY.items():
        for dtype in ("FLOAT32",) if kind == "DIV" else ("FLOAT32", "INT8") if kind.startswith("SQUARED") else DTYPES:
            for scale in (0.1,) if dtype == "FLOAT32" else (0.1, 0.00001):
                one = OneOperator()
                tensors = [one.tensor(name, IMAGE, dtype) for name in "ab"]
                result = one.tensor("y", IMAGE, dtype, scale=scale)
                yield f"{kind} {dtype} scale {scale}", one.write(path, kind, tensors, result, options)
    one = OneOperator()
    tensors = [one.tensor(name, IMAGE, "FLOAT32") for name in "ab"]
    tanh = one.file.schema.ActivationFunctionType.TANH
    yield "ADD with TANH", one.write(path, "ADD", tensors, one.tensor("y", IMAGE, "FLOAT32"), "AddOptions",
                                     fusedActivationFunction=tanh)
    yield from _pools(path)
    yield from _products(path)
    yield from _shapes(path)


def _pools(path: Path) -> Iterator[tuple[str, Path]]:
    for kind in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        for dtype in DTYPES:
            for window, step in ((2, 2), (1, 2)) if dtype == "FLOAT32" else ((2, 2),):
                one = OneOperator()
                side = SIDE // step
                tensors = [one.tensor("x", IMAGE, dtype)]
                result = one.tensor("y", [1, side, side, CHANNELS], dtype)
                yield f"{kind} {dtype} {window}", one.write(
                    path, kind, tensors, result, "Pool2DOptions", padding=one.file.schema.Padding.VALID,
                    strideH=step, strideW=step, filterHeight=window, filterWidth=window)


def _products(path: Path) -> Iterator[tuple[str, Path]]:
    """Convolutions and dense layers: float, integers, weights alone quantized."""
    ways = [("FLOAT32", "FLOAT32", 0), ("FLOAT32", "INT8", 1), ("FLOAT32", "INT8", CHANNELS), ("INT8", "INT8", 1),
            ("INT8", "INT8", CHANNELS), ("UINT8", "UINT8", 1)]
    for kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"):
        for data, weights, scales in ways:
            if (data, weights) == ("FLOAT32", "INT8") and (
                kind == "TRANSPOSE_CONV" or (kind, scales) == ("DEPTHWISE_CONV_2D", 1)
            ):
                continue
            for biased in (True,) if kind.endswith("CONV_2D") else (True, False):  # TFLite wants it
                one = OneOperator()
                depthwise, axis = kind == "DEPTHWISE_CONV_2D", 3 if kind == "DEPTHWISE_CONV_2D" else 0
                flat = kind == "FULLY_CONNECTED"
                shape = [CHANNELS, CHANNELS] if flat else [1 if depthwise else CHANNELS, 3, 3, CHANNELS]
                image = [1, CHANNELS] if flat else IMAGE
                x = one.tensor("x", image, data)
                matrix = one.constant("w", shape, weights, scales, axis if scales > 1 else 0)
                bias = -1
                if biased:
                    kept = "FLOAT32" if data == "FLOAT32" else "INT32"
                    bias = one.tensor("b", [CHANNELS], kept, scales, scale=0.01, data=np.ones(CHANNELS, NUMPY[kept]))
                y = one.tensor("y", image, data)
                steps: dict[str, Any] = {}
                if not flat:
                    steps = {"padding": one.file.schema.Padding.SAME, "strideH": 1, "strideW": 1}
                if kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
                    steps |= {"dilationHFactor": 1, "dilationWFactor": 1}
                if depthwise:
                    steps["depthMultiplier"] = 1
                tensors = [x, matrix, bias]
                if kind == "TRANSPOSE_CONV":
                    tensors = [one.integers(*IMAGE), matrix, x, bias][: 4 if biased else 3]
                yield f"{kind} {data} {weights} {scales} {biased}", one.write(
                    path, kind, tensors, y, OPTIONS[kind], **steps)


def _shapes(path: Path) -> Iterator[tuple[str, Path]]:
    for dtype in DTYPES:
        for kind in ("MEAN", "SUM", "REDUCE_MAX"):
            for axes in ([1, 2], [3]):
                one = OneOperator()
                x = one.tensor("x", IMAGE, dtype)
                shape = [1, CHANNELS] if axes == [1, 2] else [1, SIDE, SIDE]
                y = one.tensor("y", shape, dtype)
                yield f"{kind} {dtype} {axes}", one.write(path, kind, [x, one.integers(*axes)], y, "ReducerOptions")
        one = OneOperator()
        x, y = one.tensor("x", IMAGE, dtype), one.tensor("y", [1, SIDE * SIDE * CHANNELS], dtype)
        yield f"RESHAPE {dtype}", one.write(path, "RESHAPE", [x, one.integers(1, SIDE * SIDE * CHANNELS)], y)
        one = OneOperator()
        x, y = one.tensor("x", IMAGE, dtype), one.tensor("y", [1, SIDE + 2, SIDE, CHANNELS], dtype)
        yield f"PAD {dtype}", one.write(path, "PAD", [x, one.integers([0, 0], [1, 1], [0, 0], [0, 0])], y)
        one = OneOperator()
        tensors = [one.tensor(name, IMAGE, dtype) for name in "ab"]
        y = one.tensor("y", [1, SIDE, SIDE, 2 * CHANNELS], dtype)
        yield f"CONCATENATION {dtype}", one.write(path, "CONCATENATION", tensors, y, "ConcatenationOptions", axis=3)
        one = OneOperator()
        x, y = one.tensor("x", IMAGE, dtype), one.tensor("y", [1, CHANNELS, SIDE, SIDE], dtype)
        yield f"TRANSPOSE {dtype}", one.write(path, "TRANSPOSE", [x, one.integers(0, 3, 1, 2)], y)
        one = OneOperator()
        x, y = one.tensor("x", IMAGE, dtype), one.tensor("y", [1, 2 * SIDE, 2 * SIDE, CHANNELS], dtype)
        yield f"RESIZE_BILINEAR {dtype}", one.write(path, "RESIZE_BILINEAR", [x, one.integers(2 * SIDE, 2 * SIDE)], y,
                                                    "ResizeBilinearOptions")
        one = OneOperator()
        x, y = one.tensor("x", IMAGE, dtype), one.tensor("y", [1, 2 * SIDE, 2 * SIDE, CHANNELS], dtype)
        yield f"RESIZE_NEAREST_NEIGHBOR {dtype}", one.write(
            path, "RESIZE_NEAREST_NEIGHBOR", [x, one.integers(2 * SIDE, 2 * SIDE)], y, "ResizeNearestNeighborOptions")
        one = OneOperator()
        x, y = one.tensor("x", IMAGE, dtype), one.tensor("y", [1, 2, 2, CHANNELS], dtype)
        given = [one.integers(0, 1, 1, 0), one.integers(1, 2, 2, CHANNELS)]
        yield f"SLICE {dtype}", one.write(path, "SLICE", [x, *given], y)
        for step in (1, 2):
            one = OneOperator()
            x, y = one.tensor("x", IMAGE, dtype), one.tensor("y", [1, 4 // step, 4, CHANNELS], dtype)
            given = [one.integers(0, 0, 0, 0), one.integers(1, 4, 4, CHANNELS), one.integers(1, step, 1, 1)]
            yield f"STRIDED_SLICE {dtype} {step}", one.write(
                path, "STRIDED_SLICE", [x, *given], y, "StridedSliceOptions")
        one = OneOperator()
        x = one.tensor("x", [1, CHANNELS], dtype)
        y = one.tensor("y", [1, CHANNELS], dtype, scale=1 / 256, zero_point=-128 if dtype == "INT8" else 0)
        yield f"SOFTMAX {dtype}", one.write(path, "SOFTMAX", [x], y, "SoftmaxOptions", beta=1.0)
        for other in DTYPES:
            kind = "DEQUANTIZE" if other == "FLOAT32" else "QUANTIZE"
            if dtype == other == "FLOAT32":
                continue
            one = OneOperator()
            x, y = one.tensor("x", IMAGE, dtype), one.tensor("y", IMAGE, other)
            yield f"{kind} {dtype} {other}", one.write(path, kind, [x], y)
