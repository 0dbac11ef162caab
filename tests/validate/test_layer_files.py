"""What a file says of its layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.validate.layer_files import LayerFile, Node, Weight, channel_gains, plain

SHAPES: dict[str, tuple[int, ...]] = {"map": (1, 4, 2, 2), "flat": (1, 16), "out": (1, 3)}


def gains(channels_last: bool) -> list[Any]:
    """Of a map of 4 channels that is flattened; the layer behind it reads the first channel alone."""
    values = np.zeros((3, 16), np.float32)
    values[:, slice(0, 16, 4) if channels_last else slice(0, 4)] = 1
    nodes = (
        Node("Flatten", ("map",), ("flat",)),
        Node("Gemm", ("flat",), ("out",), Weight("w", values, 0, 1, None, 32)),
    )
    shapes = {**SHAPES, "map": (1, 2, 2, 4)} if channels_last else SHAPES
    file = LayerFile("onnx", nodes, {}, "map", "out")
    found = channel_gains(file, shapes, {"map": 3 if channels_last else 1, "flat": 1, "out": 1})
    return list(found["map"])


def test_a_flattened_map_of_either_layout() -> None:
    assert gains(channels_last=True) == gains(channels_last=False) == [4, 0, 0, 0]


def test_a_depthwise_layer_with_two_outputs_of_each_channel() -> None:
    values = np.zeros((1, 3, 3, 8), np.float32)
    values[..., 2:4] = 1  # both outputs of the second channel
    nodes = (Node("DEPTHWISE_CONV_2D", ("map",), ("wide",), Weight("w", values, 3, None, None, 32)),)
    shapes: dict[str, tuple[int, ...]] = {"map": (1, 8, 8, 4), "wide": (1, 8, 8, 8)}
    found = channel_gains(LayerFile("tflite", nodes, {}, "map", "wide"), shapes, {"map": 3, "wide": 3})["map"]
    assert found.tolist() == [0, 4, 0, 0]


def test_names_without_what_quantizers_add() -> None:
    assert plain("scores_QuantizeLinear_Input") == plain("scores_DequantizeLinear_Output") == "scores"
    assert plain("relu:0_quantized") == "relu"
