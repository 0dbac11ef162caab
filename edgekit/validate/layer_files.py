"""What a file says about its layers: operators, float weights, and what quantized weights and activations can hold."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.embed import inline_weights
from edgekit.core.errors import ModelFileError
from edgekit.quantize.taps import OUTPUT_SUFFIX, output_scale
from edgekit.runtime import modelfile

# Operators that only change how numbers are stored; what they make is the tensor that they read.
PASSING = {"QUANTIZE", "DEQUANTIZE", "CAST", "QuantizeLinear", "DequantizeLinear", "Cast"}
# Operators that only put numbers elsewhere.
MOVING = {"TRANSPOSE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze",
          "Identity", "Dropout"}  # fmt: skip
SUFFIXES = ("_quantized", "_dequant", "_float", OUTPUT_SUFFIX, "_QuantizeLinear_Output", "_DequantizeLinear_Output",
            ":0")  # fmt: skip


@dataclass(frozen=True)
class Weight:
    """The weights of an operator.

    Attributes:
        name: of the tensor.
        values: float32; None where the file holds integers.
        outputs: the axis of the output channels.
        inputs: the axis of the input channels; None where each channel is computed by itself (depthwise).
        scales: of quantized weights, one or one for each output channel; None for float ones and for blocks.
        bits: of one weight.
    """

    name: str
    values: NDArray[np.float32] | None
    outputs: int
    inputs: int | None
    scales: NDArray[np.float64] | None
    bits: int


@dataclass(frozen=True)
class Held:
    """What a quantized activation can hold: the numbers from `low` to `high` in steps."""

    low: float
    high: float
    step: float


@dataclass(frozen=True)
class Node:
    """An operator: its kind, and the activations that it reads and makes, by name.

    `turn` is how a transposition orders the axes.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weight: Weight | None = None
    turn: tuple[int, ...] | None = None


@dataclass(frozen=True)
class LayerFile:
    """The main graph of a model file, in the order of computation; `held` is of quantized activations, by name."""

    kind: str
    nodes: tuple[Node, ...]
    held: dict[str, Held]
    input: str
    output: str

    @functools.cached_property
    def makers(self) -> dict[str, Node]:
        """Who computes an activation, by its plain name."""
        found: dict[str, Node] = {}
        for node in self.nodes:
            if node.kind not in PASSING:
                found |= {plain(name): node for name in node.outputs}
        return found


def plain(name: str) -> str:
    """A tensor's name without what quantizers add to it."""
    while name.endswith(SUFFIXES):
        name = name.removesuffix(next(suffix for suffix in SUFFIXES if name.endswith(suffix)))
    return name


def read(path: Path) -> LayerFile:
    """Read a `.tflite` or `.onnx` file that has been vetted.

    Raises:
        ModelFileError: it is damaged.
    """
    if modelfile.sniff(path) == "onnx":
        return _read_onnx(path)
    import struct

    with modelfile.naming(path), modelfile.mapped(path) as view:
        start, end = modelfile.tflite_body(view)
        content = inline_weights(bytes(view[start:end]))
        try:
            return _read_tflite(content)
        except (struct.error, IndexError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise ModelFileError("The .tflite file is damaged: its tables point outside of it.") from error


# The weights are the second input; the axes of their output and input channels.
_TFLITE_WEIGHTS: dict[str, tuple[int, int | None]] = {
    "CONV_2D": (0, 3),
    "DEPTHWISE_CONV_2D": (3, None),
    "FULLY_CONNECTED": (0, 1),
    "TRANSPOSE_CONV": (0, 3),
}
_BITS = {"FLOAT32": 32, "FLOAT16": 16, "INT8": 8, "UINT8": 8, "INT4": 4, "INT2": 2, "INT16": 16}
_INTEGERS = {"INT8": (-128, 127), "UINT8": (0, 255), "INT16": (-32768, 32767)}


def _read_tflite(content: bytes) -> LayerFile:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    graph = model.subgraphs[0]
    operators, types = _names(schema.BuiltinOperator), _names(schema.TensorType)
    names = [tensor.name.decode(errors="replace") for tensor in graph.tensors]
    known = {index for index, tensor in enumerate(graph.tensors) if _data(model, tensor) is not None}
    stored = {index: index for index in known}  # weights that are made of weights: what they are made of
    nodes, held = [], {}
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = operators.get(max(code.builtinCode, code.deprecatedBuiltinCode), "CUSTOM")
        inputs = [int(index) for index in operator.inputs if index >= 0]
        if inputs and known.issuperset(inputs):
            known.update(operator.outputs)
            stored |= {int(index): stored[inputs[0]] for index in operator.outputs if inputs[0] in stored}
            continue
        weight = None
        if kind in _TFLITE_WEIGHTS and len(inputs) > 1 and inputs[1] in stored:
            tensor = graph.tensors[stored[inputs[1]]]
            weight = _tflite_weight(model, tensor, types[tensor.type], *_TFLITE_WEIGHTS[kind])
        outputs = [int(index) for index in operator.outputs if index >= 0]
        for index in outputs:
            if found := _tflite_held(graph.tensors[index], types[graph.tensors[index].type]):
                held[names[index]] = found
        nodes.append(
            Node(
                kind,
                tuple(names[index] for index in inputs if index not in known),
                tuple(names[index] for index in outputs),
                weight,
            )
        )
    return LayerFile("tflite", tuple(nodes), held, names[graph.inputs[0]], names[graph.outputs[0]])


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _data(model: Any, tensor: Any) -> Any:
    data = model.buffers[tensor.buffer].data
    return data if data is not None and len(data) else None


def _tflite_weight(model: Any, tensor: Any, kind: str, outputs: int, inputs: int | None) -> Weight | None:
    if kind not in _BITS:
        return None
    values = None
    if kind in ("FLOAT32", "FLOAT16"):
        data = np.frombuffer(bytes(_data(model, tensor)), kind.lower())
        values = data.astype(np.float32).reshape(tensor.shape)
    found = tensor.quantization
    scales = None if found is None or found.scale is None or not len(found.scale) else np.asarray(found.scale, float)
    return Weight(tensor.name.decode(errors="replace"), values, outputs, inputs, scales, _BITS[kind])


def _tflite_held(tensor: Any, kind: str) -> Held | None:
    found = tensor.quantization
    if kind not in _INTEGERS or found is None or found.scale is None or len(found.scale) != 1:
        return None
    zero = int(found.zeroPoint[0]) if found.zeroPoint is not None and len(found.zeroPoint) else 0
    return _held(_INTEGERS[kind], float(found.scale[0]), zero)


def _held(integers: tuple[int, int], scale: float, zero: int) -> Held:
    low, high = integers
    return Held((low - zero) * scale, (high - zero) * scale, scale)


def _read_onnx(path: Path) -> LayerFile:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(os.fspath(path)).graph
    constants = {one.name: one for one in graph.initializer}
    source = next(tensor.name for tensor in graph.input if tensor.name not in constants)
    known = set(constants)
    stored: dict[str, tuple[Any, Any]] = {name: (one, None) for name, one in constants.items()}
    nodes, held = [], {}
    for node in graph.node:
        inputs = [name for name in node.input if name]
        if known.issuperset(inputs):
            known.update(node.output)
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                stored[node.output[0]] = (node.attribute[0].t, None)
            elif node.op_type == "DequantizeLinear" and inputs[0] in constants and inputs[1] in constants:
                stored[node.output[0]] = (constants[inputs[0]], numpy_helper.to_array(constants[inputs[1]]))
            elif node.op_type == "Cast" and inputs[0] in stored:
                stored[node.output[0]] = stored[inputs[0]]
            continue
        if node.op_type == "QuantizeLinear" and set(inputs[1:]) <= set(constants) and len(inputs) == 3:
            scale, zero = (numpy_helper.to_array(constants[name]) for name in inputs[1:])
            if scale.size == 1 and zero.dtype.kind in "iu":
                held[node.input[0]] = _onnx_held(scale, zero)
        elif found := output_scale(node, constants):
            held[node.output[0]] = _onnx_held(*found)
        nodes.append(
            Node(
                node.op_type,
                tuple(name for name in inputs if name not in known),
                tuple(node.output),
                _onnx_weight(node, *stored[inputs[1]]) if len(inputs) > 1 and inputs[1] in stored else None,
                tuple(_attribute(node, "perm", ())) if node.op_type == "Transpose" else None,
            )
        )
    return LayerFile("onnx", tuple(nodes), held, source, graph.output[0].name)


def _onnx_held(scale: NDArray[Any], zero: NDArray[Any]) -> Held:
    limits = np.iinfo(zero.dtype)
    return _held((int(limits.min), int(limits.max)), float(scale.item()), int(zero.item()))


def _onnx_weight(node: Any, tensor: Any, scale: Any) -> Weight | None:
    from onnx import numpy_helper

    if node.op_type not in ("Conv", "Gemm", "MatMul", "ConvTranspose"):
        return None
    values = numpy_helper.to_array(tensor)
    if values.ndim < 2 or values.dtype.kind not in "fiu":
        return None
    outputs, inputs = {"Conv": (0, 1), "ConvTranspose": (1, 0)}.get(node.op_type, (values.ndim - 1, values.ndim - 2))
    if node.op_type == "Gemm" and _attribute(node, "transB", 0):
        outputs, inputs = 0, 1
    depthwise = node.op_type == "Conv" and values.shape[1] == 1 and _attribute(node, "group", 1) == values.shape[0]
    if node.op_type in ("Conv", "ConvTranspose") and _attribute(node, "group", 1) != 1 and not depthwise:
        return None
    return Weight(
        tensor.name,
        values.astype(np.float32) if values.dtype.kind == "f" else None,
        outputs,
        None if depthwise else inputs,
        None if scale is None else np.atleast_1d(scale).astype(float),
        8 * values.dtype.itemsize,
    )


def _attribute(node: Any, name: str, default: Any) -> Any:
    for attribute in node.attribute:
        if attribute.name == name:
            return attribute.ints if attribute.ints else attribute.i
    return default


# --- channels

_BY_CHANNEL = {
    "Conv",
    "ConvTranspose",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "BatchNormalization",
}


def channel_axes(file: LayerFile, shapes: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """Where the channels of each activation lie: the last axis in `.tflite`, what an `.onnx` graph makes of them."""
    if file.kind == "tflite":
        return {name: len(shape) - 1 for name, shape in shapes.items()}
    axes: dict[str, int] = {}
    for node in file.nodes:
        for name in node.outputs:
            rank = len(shapes.get(name, ()))
            first = node.inputs[0] if node.inputs else ""
            axis = rank - 1
            if node.kind in _BY_CHANNEL:
                axis = 1
            elif node.turn and first in axes:
                axis = node.turn.index(axes[first])
            elif node.weight is None and first in axes and rank == len(shapes.get(first, ())):
                axis = axes[first]
            axes[name] = axis
    return axes


# Operators that compute each channel by itself, so that noise in a channel stays in it.
_CHANNELWISE = {
    "ADD", "SUB", "MUL", "DIV", "RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "PRELU", "ELU", "HARD_SWISH", "LOGISTIC",
    "TANH", "GELU", "MEAN", "AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD", "PADV2", "MIRROR_PAD", "MAXIMUM", "MINIMUM",
    "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND",
    "Add", "Sub", "Mul", "Div", "Relu", "LeakyRelu", "PRelu", "Elu", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh",
    "Clip", "Gelu", "ReduceMean", "AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool", "Pad", "Max", "Min",
    "Resize", *MOVING, *PASSING,
}  # fmt: skip


def channel_gains(
    file: LayerFile, shapes: dict[str, tuple[int, ...]], axes: dict[str, int]
) -> dict[str, NDArray[np.float64]]:
    """How strongly noise in each channel of an activation reaches the next layer that mixes channels, float64 [C].

    It is the sum of the squared weights that read the channel (uncorrelated noise adds up by its power), through what
    computes each channel by itself; equal gains where the file does not tell. Their mean is 1.
    """
    gains: dict[str, NDArray[np.float64]] = {}
    for node in reversed(file.nodes):
        for name in node.inputs:
            if name not in shapes or not shapes[name]:
                continue
            channels = shapes[name][axes[name]]
            after = gains.get(node.outputs[0]) if node.outputs else None
            gain = _gain(node, after, channels, last=axes[name] == len(shapes[name]) - 1)
            mean = gain.mean() if gain is not None else 0.0
            if gain is not None and mean > 0 and np.isfinite(mean):
                gains[name] = gains.get(name, np.zeros(channels)) + gain / mean
    return {name: gain / gain.mean() for name, gain in gains.items()}


def _gain(
    node: Node, after: NDArray[np.float64] | None, channels: int, *, last: bool
) -> NDArray[np.float64] | None:
    weight = node.weight
    if weight is not None and weight.values is not None:
        squares = np.square(weight.values, dtype=np.float64)
        if weight.inputs is not None:
            gain = squares.sum(tuple(axis for axis in range(squares.ndim) if axis != weight.inputs))
        else:
            gain = squares.sum(tuple(axis for axis in range(squares.ndim) if axis != weight.outputs))
            gain = gain if after is None else gain * after
            last = False  # the outputs of a channel lie side by side
        return _folded(gain, channels, last)
    return _folded(after, channels, last) if node.kind in _CHANNELWISE and after is not None else None


def _folded(gain: NDArray[np.float64], channels: int, last: bool) -> NDArray[np.float64] | None:
    """Gains of as many channels: a map that was flattened is summed up, whose channels came last or first."""
    if len(gain) % channels or channels == 1:
        return None
    summed: NDArray[np.float64] = gain.reshape(-1, channels).sum(0) if last else gain.reshape(channels, -1).sum(1)
    return summed


def shapes_of(activations: dict[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
    """The shapes of activations by name."""
    return {name: tuple(values.shape) for name, values in activations.items()}


def clipping(file: LayerFile) -> Iterator[tuple[str, str]]:
    """The activations that only a ReLU or a clip reads, by name, each with what it makes of them."""
    readers = Counter(name for node in file.nodes for name in node.inputs)
    for node in file.nodes:
        if node.kind in ("Relu", "Clip") and readers[node.inputs[0]] == 1:
            yield node.inputs[0], node.outputs[0]


def activations(file: LayerFile) -> Iterator[str]:
    """The names of what its operators compute, but for those that only change how numbers are stored."""
    for node in file.nodes:
        if node.kind not in PASSING:
            yield from node.outputs
