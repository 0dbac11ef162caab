"""The anatomy of an `.onnx` file, read with the onnx package; shapes come from its shape inference."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.core.anatomy.result import Anatomy, Shape, Tensor, Weight, assemble, clean
from edgekit.core.errors import MissingExtraError

# For operators of quantized models: which inputs may be weights, and for each the input that has one entry per
# channel (scales, or zero points where there is no scale). Their other constant inputs are scales and zero points.
_WEIGHT_INPUTS: dict[str, dict[int, int]] = {
    "QuantizeLinear": {0: 1},
    "DequantizeLinear": {0: 1},
    "QLinearConv": {3: 4, 8: 4},
    "QLinearMatMul": {0: 1, 3: 4},
    "ConvInteger": {1: 3},
    "MatMulInteger": {1: 3},
}
_PASSED_THROUGH = ("QuantizeLinear", "DequantizeLinear", "Cast")
_CONVOLUTIONS = {"Conv": (0, 1), "ConvInteger": (0, 1), "QLinearConv": (0, 3), "ConvTranspose": (0, 1)}
_RECURRENT = ("LSTM", "GRU", "RNN")
_PRODUCTS = ("Gemm", "MatMul", "MatMulInteger", "QLinearMatMul")


def read(path: Path) -> Anatomy:
    """Read the file at `path`; on a damaged one any exception. External data is counted, not read."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("Inspecting an ONNX file", "onnx", "onnx") from error
    model = onnx.load(str(path), load_external_data=False)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {node.output[0]: attribute.t for node in graph.node if node.op_type == "Constant"
                  for attribute in node.attribute if attribute.name == "value"}
    data = [value for value in graph.input if value.name not in constants]
    inputs, outputs = [_tensor(value) for value in data], [_tensor(value) for value in graph.output]
    operators = Counter(clean(f"{node.domain}.{node.op_type}" if node.domain else node.op_type)
                        for node in _nodes(graph))
    return assemble(path, "onnx", inputs, outputs, operators, _weights(graph, constants),
                    _macs(model, data, constants))


def _nodes(graph: Any) -> Iterator[Any]:
    """The nodes of a graph and of the branches and loop bodies in it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _weights(graph: Any, constants: dict[str, Any]) -> list[Weight]:
    consumers: dict[str, tuple[Any, int]] = {}
    for node in graph.node:
        for position, name in enumerate(node.input):
            consumers.setdefault(name, (node, position))
    weights = []
    for name, tensor in constants.items():
        dtype, bits = _dtype(tensor.data_type)
        if not tensor.dims:  # a bound, a factor, a scale
            continue
        node, position = consumers.get(name, (None, 0))
        op, quantization = node.op_type if node else "", ""
        if op in _WEIGHT_INPUTS:
            if position not in _WEIGHT_INPUTS[op]:
                continue
            if "float" not in dtype:
                quantization = _quantization(node, _WEIGHT_INPUTS[op][position], constants)
        elif "float" not in dtype:
            continue
        for _ in range(3):  # at most QuantizeLinear, DequantizeLinear, Cast
            if op in _PASSED_THROUGH and node.output[0] in consumers:
                node, _ = consumers[node.output[0]]
                op = node.op_type
        shape = tuple(tensor.dims)
        weights.append(Weight(clean(name), clean(op), dtype, shape, (math.prod(shape) * bits + 7) // 8, quantization))
    return weights


def _quantization(node: Any, per_channel: int, constants: dict[str, Any]) -> str:
    if any(attribute.name == "block_size" and attribute.i for attribute in node.attribute):
        return "blockwise"
    scales = constants.get(node.input[per_channel]) if len(node.input) > per_channel else None
    return "per-channel" if scales is not None and math.prod(scales.dims) > 1 else "per-tensor"


def _macs(model: Any, inputs: list[Any], constants: dict[str, Any]) -> int | None:
    """The sum over the graph's nodes; sets the batch size of `inputs` to 1 where it is open."""
    import onnx

    batch = 1
    for number, value in enumerate(inputs):
        dimensions = value.type.tensor_type.shape.dim
        if not dimensions:
            continue
        if number == 0:
            batch = max(1, dimensions[0].dim_value)
        if dimensions[0].dim_value <= 0:
            _set_to_one(model.graph, dimensions[0].dim_param)
            dimensions[0].dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {value.name: _shape(value) for value in (*inferred.input, *inferred.value_info, *inferred.output)}
    shapes |= {name: tuple(tensor.dims) for name, tensor in constants.items()}
    total = 0
    for node in inferred.node:
        counted = _node_macs(node, shapes)
        if counted is None:
            return None
        total += counted
    return total // batch


def _set_to_one(graph: Any, name: str) -> None:
    """Give the symbolic dimension `name` the size 1 wherever the file mentions it."""
    for value in (*graph.input, *graph.value_info, *graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if name and dimension.dim_param == name:
                dimension.dim_value = 1


def _node_macs(node: Any, shapes: dict[str, Shape | None]) -> int | None:
    """The formulas of `Anatomy.macs`; None when a shape is not known."""
    if node.domain not in ("", "ai.onnx"):
        return 0
    if node.op_type in _CONVOLUTIONS:
        data, weights = (shapes.get(node.input[position]) for position in _CONVOLUTIONS[node.op_type])
        # Conv: output channels, input channels of the group, kernel. ConvTranspose: the first two change places.
        elements = data if node.op_type == "ConvTranspose" else shapes.get(node.output[0])
        return _product(elements, weights[1:] if weights else None)
    if node.op_type in _RECURRENT:  # sequence and batch in either order; directions, gates · units, channels or units
        data, weights, recurrent = (shapes.get(name) for name in node.input[:3])
        steps = data[:-1] if data else None
        counted = _product(steps, weights), _product(steps, recurrent)
        return None if None in counted else sum(part for part in counted if part)
    if node.op_type in _PRODUCTS:
        left = shapes.get(node.input[0])
        transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        return _product(shapes.get(node.output[0]), (left[0 if transposed else -1],) if left else None)
    return 0


def _product(*shapes: Shape | None) -> int | None:
    total = 1
    for shape in shapes:
        for size in (None,) if shape is None else shape:
            if size is None:
                return None
            total *= size
    return total


def _tensor(value: Any) -> Tensor:
    kind = value.type.tensor_type
    return Tensor(clean(value.name), _dtype(kind.elem_type)[0], _shape(value) or ())


def _shape(value: Any) -> Shape | None:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim)


def _dtype(number: int) -> tuple[str, int]:
    """The name that other formats use for an element type of ONNX, and its size in bits."""
    import onnx

    name = onnx.TensorProto.DataType.Name(number).lower()
    name = {"float": "float32", "double": "float64"}.get(name, name)
    digits = "".join(character if character.isdigit() else " " for character in name).split()
    return name, int(digits[0]) if digits else 8
