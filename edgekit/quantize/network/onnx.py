"""`.onnx` files as networks that can be repaired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import MissingExtraError, ModelFileError
from edgekit.quantize.network import (
    Carry,
    Operator,
    along,
    broadcasts,
    pooled,
    reads_rows,
    reduced,
    stretched,
)

_POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool")
_REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin")
_RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
_KEEPS_SIGN = ("Relu", "LeakyRelu", "PRelu", "Identity", "Dropout")
_WEIGHTED = ("Conv", "MatMul", "Gemm")


class OnnxNetwork:
    """See `edgekit.quantize.network.Network`; tensors are called by their names in the file."""

    def __init__(self, path: Path) -> None:
        try:
            import onnx
        except ImportError as error:
            raise MissingExtraError("Repairing an ONNX file", "onnx", "onnx") from error
        self._onnx = onnx
        self._model = onnx.load(str(path))
        graph = self._graph = self._model.graph
        self._constants = {one.name: one for one in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                self._constants[node.output[0]] = node.attribute[0].t
        self._uses = Counter(name for node in graph.node for name in node.input)
        self._uses.update(output.name for output in graph.output)
        inner = set(_names_inside(graph))
        self._uses.update(inner)
        self._shapes = self._find_shapes()
        self.outputs = frozenset([*(output.name for output in graph.output), *inner])
        self.operators = tuple(self._read(node) for node in graph.node)

    def shape(self, tensor: str) -> tuple[int, ...] | None:
        """See Network."""
        return self._shapes.get(tensor)

    def weights(self, operator: int) -> NDArray[np.float32]:
        """See Network."""
        values = self._value(self._graph.node[operator].input[1])
        return values.T if self._stored_by_input(operator) else values

    def set_weights(self, operator: int, values: NDArray[np.float32]) -> None:
        """See Network."""
        self._set(operator, 1, values.T if self._stored_by_input(operator) else values)

    def bias(self, operator: int) -> NDArray[np.float32] | None:
        """See Network."""
        node = self._graph.node[operator]
        if len(node.input) < 3 or not node.input[2]:
            return None
        return np.broadcast_to(self._value(node.input[2]).reshape(-1), len(self.weights(operator)))

    def set_bias(self, operator: int, values: NDArray[np.float32]) -> None:
        """See Network."""
        self._set(operator, 2, values)

    def offset(self, operator: int) -> NDArray[np.float32]:
        """See Network."""
        return self._value(self._graph.node[operator].input[self._constant_slot(operator)])

    def set_offset(self, operator: int, values: NDArray[np.float32]) -> None:
        """See Network."""
        self._set(operator, self._constant_slot(operator), values)

    def raise_clip(self, operator: int) -> None:
        """See Network."""
        node = self._graph.node[operator]
        node.op_type = "Relu"
        del node.input[1:]
        del node.attribute[:]

    def add_twin(self, operator: int, weights: NDArray[np.float32]) -> str:
        """See Network."""
        original, twin = self._graph.node[operator], self._onnx.NodeProto()
        twin.CopyFrom(original)
        name = f"{original.output[0]}/edgekit_twin"
        twin.name, twin.output[0] = name, name
        del twin.input[1:]
        self._graph.node.append(twin)
        self._set(len(self._graph.node) - 1, 1, weights.T if self._stored_by_input(operator) else weights)
        return name

    def quantized_weights(self, child: Path) -> dict[int, NDArray[np.float32]]:
        """See Network. The quantizer keeps the names of nodes."""
        quantized = OnnxNetwork(child)
        made = {output: node for node in quantized._graph.node for output in node.output}
        by_name = {node.name: node for node in quantized._graph.node if node.name}
        found = {}
        for place, operator in enumerate(self.operators):
            node = by_name.get(self._graph.node[place].name)
            if operator.kind == "weighted" and node is not None and node.op_type == operator.type:
                values = quantized._dequantized(made.get(node.input[1]))
                if values is not None:
                    values = values.T if self._stored_by_input(place) else values
                    if values.shape == self.weights(place).shape:
                        found[place] = values
        return found

    def _dequantized(self, node: Any) -> NDArray[np.float32] | None:
        """What a DequantizeLinear makes of constants; None for others."""
        if node is None or node.op_type != "DequantizeLinear" or not set(node.input) <= set(self._constants):
            return None
        values, scale = (self._value(name) for name in node.input[:2])
        zero = self._value(node.input[2]) if len(node.input) > 2 else np.zeros_like(scale)
        aligned = [1] * values.ndim
        if scale.size > 1:
            aligned[int(self._attributes(node).get("axis", 1))] = -1
        real = values.astype(np.float32) - zero.astype(np.float32).reshape(aligned)
        return np.asarray(real * scale.reshape(aligned), np.float32)

    def save(self, path: Path) -> None:
        """See Network."""
        self._onnx.save(self._model, str(path))

    def _find_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of all tensors for a batch of one."""
        copy = self._onnx.ModelProto()
        copy.CopyFrom(self._model)
        del copy.graph.value_info[:]
        for tensor in copy.graph.input:
            sides = tensor.type.tensor_type.shape.dim
            if tensor.name not in self._constants and len(sides) and not sides[0].dim_value:
                sides[0].dim_value = 1
        for tensor in copy.graph.output:
            tensor.type.tensor_type.ClearField("shape")
        try:
            known = self._onnx.shape_inference.infer_shapes(copy, data_prop=True).graph
        except Exception as error:  # onnx's exceptions have no common base
            raise ModelFileError(f"The .onnx file is damaged: {error}") from error
        return {
            tensor.name: tuple(side.dim_value for side in tensor.type.tensor_type.shape.dim)
            for tensor in (*known.input, *known.value_info, *known.output)
            if all(side.dim_value for side in tensor.type.tensor_type.shape.dim)
            and tensor.type.tensor_type.elem_type == self._onnx.TensorProto.FLOAT
        }

    def _read(self, node: Any) -> Operator:
        names = tuple(name for name in node.input if name and name not in self._constants)
        output = str(node.output[0]) if node.output else ""
        kind = str(node.op_type)
        mixes = Operator("mixes", kind, names, output)
        if len(names) != 1 or len(node.output) != 1 or any(attribute.HasField("g") for attribute in node.attribute):
            return mixes
        before, after = self._shapes.get(names[0]), self._shapes.get(output)
        if before is None or after is None or (names[0] != node.input[0] and kind not in ("Add", "Mul")):
            return mixes
        if kind in _WEIGHTED:
            return self._weighted(node, kind, names, len(after))
        if kind in ("Add", "Sub", "Mul"):
            constant = self._value(next(name for name in node.input if name in self._constants))
            if before != after or not broadcasts(constant, after) or constant.dtype != np.float32:
                return mixes
            if kind == "Mul":
                return Operator("carries", kind, names, output, carry=lambda numbers: numbers)
            return Operator("shifts", kind, names, output, carry=lambda numbers: numbers)
        if kind == "Clip":
            low, high = self._bounds(node)
            if low != 0 or not high > 0:
                return mixes
            return Operator("carries", kind, names, output, "clip", high, carry=lambda numbers: numbers)
        carry = self._carry(node, kind, before, after)
        return mixes if carry is None else Operator("carries", kind, names, output, carry=carry)

    def _weighted(self, node: Any, kind: str, names: tuple[str, ...], rank: int) -> Operator:
        output = str(node.output[0])
        if len(node.input) < 2 or node.input[1] not in self._constants:
            return Operator("mixes", kind, names, output, why="its weights are computed")
        values, attributes = self._value(node.input[1]), self._attributes(node)
        if values.dtype != np.float32:
            return Operator("mixes", kind, names, output, why="its weights are not float32")
        if self._uses[node.input[1]] > 1:
            return Operator("mixes", kind, names, output, why="it shares its weights")
        if kind == "Conv":
            groups = int(attributes.get("group", 1))
            return Operator(
                "weighted", kind, names, output, axis=1, groups=groups, read=lambda numbers: along(numbers, 1)
            )
        plain = attributes.get("alpha", 1) == 1 and attributes.get("beta", 1) == 1 and not attributes.get("transA")
        if values.ndim != 2 or not plain:
            return Operator("mixes", kind, names, output)
        width = values.shape[1] if attributes.get("transB") else values.shape[0]
        return Operator(
            "weighted",
            kind,
            names,
            output,
            axis=rank - 1,
            read=lambda numbers: reads_rows(numbers, width),
            takes_bias=kind == "Gemm",
        )

    def _carry(self, node: Any, kind: str, before: tuple[int, ...], after: tuple[int, ...]) -> Carry | None:
        attributes = self._attributes(node)
        if kind in _KEEPS_SIGN:
            return lambda numbers: numbers
        if kind in _POOLS:
            return lambda numbers: pooled(numbers, 1, after)
        if kind in _REDUCTIONS:
            axes = attributes.get("axes")
            if axes is None and len(node.input) > 1 and node.input[1] in self._constants:
                axes = self._value(node.input[1]).reshape(-1).tolist()
            if not axes:
                return None
            over = tuple(int(axis) % len(before) for axis in axes)
            return lambda numbers: reduced(numbers, over, after)
        if kind in _RESHAPES:
            return lambda numbers: numbers.reshape(after)
        if kind == "Transpose":
            order = attributes.get("perm") or range(len(before))[::-1]
            return lambda numbers: numbers.transpose(*order)
        if kind == "Pad" and self._pads_zeros(node, attributes):
            return lambda numbers: stretched(numbers, after)
        return None

    def _pads_zeros(self, node: Any, attributes: dict[str, Any]) -> bool:
        if attributes.get("mode", b"constant") != b"constant":
            return True  # repeats values of the same channel
        if len(node.input) > 2 and node.input[2]:
            return node.input[2] in self._constants and not self._value(node.input[2]).any()
        return not attributes.get("value", 0)

    def _bounds(self, node: Any) -> tuple[float, float]:
        attributes = self._attributes(node)
        bounds = [attributes.get("min", -np.inf), attributes.get("max", np.inf)]
        for place, name in enumerate(node.input[1:3]):
            if name:
                bounds[place] = float(self._value(name).item()) if name in self._constants else np.nan
        return float(bounds[0]), float(bounds[1])

    def _attributes(self, node: Any) -> dict[str, Any]:
        return {one.name: self._onnx.helper.get_attribute_value(one) for one in node.attribute}

    def _value(self, name: str) -> NDArray[Any]:
        return np.asarray(self._onnx.numpy_helper.to_array(self._constants[name]))

    def _stored_by_input(self, operator: int) -> bool:
        node = self._graph.node[operator]
        return node.op_type == "MatMul" or (node.op_type == "Gemm" and not self._attributes(node).get("transB"))

    def _constant_slot(self, operator: int) -> int:
        return 1 if self._graph.node[operator].input[1] in self._constants else 0

    def _set(self, operator: int, slot: int, values: NDArray[np.float32]) -> None:
        """Let one operator read these values; others keep what they read."""
        node = self._graph.node[operator]
        stored = self._onnx.numpy_helper.from_array(np.ascontiguousarray(values, np.float32))
        if slot < len(node.input) and node.input[slot] and self._uses[node.input[slot]] == 1:
            name = str(node.input[slot])
            stored.name = name
            self._constants[name].CopyFrom(stored)
            return
        name = f"{node.output[0]}/edgekit_{slot}"
        stored.name = name
        self._graph.initializer.append(stored)
        self._constants[name] = self._graph.initializer[-1]
        while len(node.input) <= slot:
            node.input.append("")
        if node.input[slot]:
            self._uses[node.input[slot]] -= 1
        node.input[slot] = name
        self._uses[name] = 1


def _names_inside(graph: Any) -> Iterator[str]:
    """What branches and loops read; it may come from the graph around them."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                for inner in attribute.g.node:
                    yield from inner.input
                yield from (output.name for output in attribute.g.output)
                yield from _names_inside(attribute.g)
