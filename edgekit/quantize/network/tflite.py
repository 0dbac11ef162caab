"""`.tflite` files as networks that can be repaired, through the object API that TFLite generates from schema.fbs."""

from __future__ import annotations

import copy
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.embed import inline_weights
from edgekit.core.errors import ModelFileError
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
from edgekit.runtime import modelfile

_POOLS = ("MAX_POOL_2D", "AVERAGE_POOL_2D")
_REDUCTIONS = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")
_RESHAPES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
_RESIZES = ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
_ZERO_PADS = ("PAD", "PADV2")
_KEEPS_SIGN = ("RELU", "LEAKY_RELU", "PRELU")
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


class TFLiteNetwork:
    """See `edgekit.quantize.network.Network`; tensors are called by their names in the file."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._kinds = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
        try:
            with modelfile.naming(path), modelfile.mapped(path) as view:
                start, end = modelfile.tflite_body(view)
                content = inline_weights(bytes(view[start:end]))
            self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
            if len(self._model.subgraphs or []) != 1:
                raise ModelFileError("The .tflite file has several subgraphs, which edgekit does not edit.")
            self._graph = self._model.subgraphs[0]
            self._uses = Counter(int(index) for one in self._graph.operators for index in one.inputs)
            self._buffers = Counter(int(tensor.buffer) for tensor in self._graph.tensors)
            self._names = Counter(tensor.name.decode() for tensor in self._graph.tensors)
            self._places = {tensor.name.decode(): index for index, tensor in enumerate(self._graph.tensors)}
            self.outputs = frozenset(self._name(index) for index in self._graph.outputs)
            self.operators = tuple(self._read(operator) for operator in self._graph.operators)
        except (struct.error, IndexError, ValueError, TypeError, AttributeError) as error:
            raise ModelFileError("The .tflite file is damaged: its tables point outside of it.") from error

    def shape(self, tensor: str) -> tuple[int, ...] | None:
        """See Network."""
        index = self._places.get(tensor)
        return None if index is None else self._sides(self._graph.tensors[index])

    def weights(self, operator: int) -> NDArray[np.float32]:
        """See Network."""
        return self._as_seen(operator, self._values(int(self._graph.operators[operator].inputs[1])))

    def set_weights(self, operator: int, values: NDArray[np.float32]) -> None:
        """See Network."""
        self._set(operator, 1, self._as_stored(operator, values))

    def bias(self, operator: int) -> NDArray[np.float32] | None:
        """See Network."""
        inputs = self._graph.operators[operator].inputs
        return self._values(int(inputs[2])).reshape(-1) if len(inputs) > 2 and inputs[2] >= 0 else None

    def set_bias(self, operator: int, values: NDArray[np.float32]) -> None:
        """See Network."""
        self._set(operator, 2, values)

    def offset(self, operator: int) -> NDArray[np.float32]:
        """See Network."""
        return self._values(int(self._graph.operators[operator].inputs[self._constant_slot(operator)]))

    def set_offset(self, operator: int, values: NDArray[np.float32]) -> None:
        """See Network."""
        self._set(operator, self._constant_slot(operator), values)

    def raise_clip(self, operator: int) -> None:
        """See Network."""
        target = self._graph.operators[operator]
        if self.operators[operator].type == "RELU6":
            code = self._schema.OperatorCodeT()
            relu = self._schema.BuiltinOperator.RELU
            code.builtinCode, code.deprecatedBuiltinCode, code.version = relu, relu, 1
            self._model.operatorCodes.append(code)
            target.opcodeIndex = len(self._model.operatorCodes) - 1
        else:
            target.builtinOptions.fusedActivationFunction = self._schema.ActivationFunctionType.RELU

    def add_twin(self, operator: int, weights: NDArray[np.float32]) -> str:
        """See Network."""
        original, twin = self._graph.operators[operator], self._schema.OperatorT()
        twin.opcodeIndex, twin.builtinOptionsType = original.opcodeIndex, original.builtinOptionsType
        twin.builtinOptions = copy.copy(original.builtinOptions)
        twin.builtinOptions.fusedActivationFunction = self._schema.ActivationFunctionType.NONE
        written = copy.copy(self._graph.tensors[original.outputs[0]])
        written.name = f"{self._name(original.outputs[0])}/edgekit_twin".encode()
        self._graph.tensors.append(written)
        twin.inputs, twin.outputs = [int(original.inputs[0]), -1, -1], [len(self._graph.tensors) - 1]
        self._graph.operators.append(twin)
        place = len(self._graph.operators) - 1
        self._set(place, 1, self._as_stored(operator, weights))
        self._set(place, 2, np.zeros(len(weights), np.float32))
        return self._name(twin.outputs[0])

    def quantized_weights(self, child: Path) -> dict[int, NDArray[np.float32]]:
        """See Network. Quantizers keep the names of weights."""
        quantized = TFLiteNetwork(child)
        by_name = {tensor.name.decode(): tensor for tensor in quantized._graph.tensors}
        found = {}
        for place, operator in enumerate(self.operators):
            if operator.kind == "weighted":
                index = int(self._graph.operators[place].inputs[1])
                stored = by_name.get(self._name(index))
                values = None if stored is None else quantized._dequantized(stored)
                if values is not None and values.shape == self._values(index).shape:
                    found[place] = self._as_seen(place, values)
        return found

    def _dequantized(self, tensor: Any) -> NDArray[np.float32] | None:
        """Signed 8- or 4-bit weights; None for others."""
        types, parameters = self._schema.TensorType, tensor.quantization
        if tensor.type not in (types.INT8, types.INT4) or parameters is None or parameters.scale is None:
            return None
        stored = np.asarray(self._model.buffers[tensor.buffer].data, np.uint8).view(np.int8)
        if tensor.type == types.INT4:  # two in a byte, the first in the low half
            stored = np.stack([stored << 4 >> 4, stored >> 4], -1).reshape(-1)
        sides = self._sides(tensor)
        values = stored[: int(np.prod(sides))].reshape(sides).astype(np.float32)
        aligned = [1] * len(sides)
        if len(parameters.scale) > 1:
            aligned[int(parameters.quantizedDimension)] = -1
        scale = np.asarray(parameters.scale, np.float32).reshape(aligned)
        zero = np.asarray(parameters.zeroPoint if parameters.zeroPoint is not None else [0], np.float32)
        return (values - zero.reshape(aligned if len(zero) > 1 else (1,) * len(sides))) * scale

    def save(self, path: Path) -> None:
        """See Network."""
        import flatbuffers

        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        path.write_bytes(builder.Output())

    def _as_seen(self, operator: int, stored: NDArray[np.float32]) -> NDArray[np.float32]:
        kind = self.operators[operator].type
        if kind == "CONV_2D":
            return np.moveaxis(stored, -1, 1)
        return np.moveaxis(stored, -1, 0) if kind == "DEPTHWISE_CONV_2D" else stored

    def _as_stored(self, operator: int, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        kind = self.operators[operator].type
        if kind == "CONV_2D":
            return np.moveaxis(seen, 1, -1)
        return np.moveaxis(seen, 0, -1) if kind == "DEPTHWISE_CONV_2D" else seen

    def _read(self, operator: Any) -> Operator:
        code = self._model.operatorCodes[operator.opcodeIndex]
        kind = self._kinds.get(max(code.builtinCode, code.deprecatedBuiltinCode), "CUSTOM")
        inputs = [int(index) for index in operator.inputs if index >= 0]
        activations = [index for index in inputs if self._constant(index) is None]
        names = tuple(self._name(index) for index in activations)
        output = self._name(operator.outputs[0])
        mixes = Operator("mixes", kind, names, output)
        if len(operator.outputs) != 1 or len(activations) != 1:
            return mixes
        if activations[0] != inputs[0] and kind not in ("ADD", "MUL"):  # a constant minus x, weights that are computed
            return mixes
        if any(not self._is_float(index) for index in (activations[0], operator.outputs[0])):
            return mixes
        if self._names[names[0]] > 1 or self._names[output] > 1:
            return Operator("mixes", kind, names, output, why="its tensors have no names of their own")
        activation, clip = self._activation(kind, operator)
        if kind in _WEIGHTED:
            return self._weighted(kind, operator, names, activation, clip)
        before, after = (self._sides(self._graph.tensors[index]) for index in (activations[0], operator.outputs[0]))
        if kind in ("ADD", "SUB", "MUL"):
            slot = 1 if activations[0] == operator.inputs[0] else 0
            constant = self._constant(int(operator.inputs[slot]))
            if constant is None or not broadcasts(constant, after) or before != after:
                return mixes
            what: Any = "carries" if kind == "MUL" else "shifts"
            return Operator(what, kind, names, output, activation, clip, carry=lambda numbers: numbers)
        carry = self._carry(kind, operator, before, after)
        if carry is None:
            return mixes
        return Operator("carries", kind, names, output, activation, clip, carry=carry)

    def _weighted(self, kind: str, operator: Any, names: tuple[str, ...], activation: Any, clip: float) -> Operator:
        output = self._name(operator.outputs[0])
        if len(operator.inputs) < 2 or (values := self._constant(int(operator.inputs[1]))) is None:
            return Operator("mixes", kind, names, output, why="its weights are computed")
        if not self._is_float(operator.inputs[1]):
            return Operator("mixes", kind, names, output, why="its weights are not float32")
        if self._uses[int(operator.inputs[1])] > 1:
            return Operator("mixes", kind, names, output, why="it shares its weights")
        width = int(values.shape[-1])
        if kind == "FULLY_CONNECTED":
            return Operator(
                "weighted", kind, names, output, activation, clip, read=lambda numbers: reads_rows(numbers, width)
            )
        inputs = self._sides(self._graph.tensors[operator.inputs[0]])[-1]
        groups = inputs if kind == "DEPTHWISE_CONV_2D" else inputs // width
        return Operator(
            "weighted", kind, names, output, activation, clip, groups=groups, read=lambda numbers: along(numbers, -1)
        )

    def _activation(self, kind: str, operator: Any) -> tuple[Any, float]:
        types = self._schema.ActivationFunctionType
        if kind == "RELU6":
            return "clip", 6.0
        fused = getattr(operator.builtinOptions, "fusedActivationFunction", types.NONE)
        if fused == types.RELU6:
            return "clip", 6.0
        return ("exact" if fused in (types.NONE, types.RELU) else "other"), 0.0

    def _carry(self, kind: str, operator: Any, before: tuple[int, ...], after: tuple[int, ...]) -> Carry | None:
        second = self._constant(int(operator.inputs[1])) if len(operator.inputs) > 1 else None
        if kind in _KEEPS_SIGN or kind == "RELU6":
            return lambda numbers: numbers
        if kind in _POOLS:
            return lambda numbers: pooled(numbers, len(before) - 1, after)
        if kind in _REDUCTIONS and second is not None:
            axes = tuple(int(axis) % len(before) for axis in second.reshape(-1))
            return lambda numbers: reduced(numbers, axes, after)
        if kind in _RESHAPES:
            return lambda numbers: numbers.reshape(after)
        if kind in _RESIZES or (kind in _ZERO_PADS and self._pads_zeros(operator)):
            return lambda numbers: stretched(numbers, after)
        if kind == "TRANSPOSE" and second is not None:
            order = tuple(int(axis) for axis in second)
            return lambda numbers: numbers.transpose(order)
        return None

    def _pads_zeros(self, operator: Any) -> bool:
        if len(operator.inputs) < 3:
            return True
        value = self._constant(int(operator.inputs[2]))
        return value is not None and not value.any()

    def _constant_slot(self, operator: int) -> int:
        inputs = self._graph.operators[operator].inputs
        return 1 if self._constant(int(inputs[0])) is None else 0

    def _is_float(self, index: int) -> bool:
        return bool(self._graph.tensors[index].type == self._schema.TensorType.FLOAT32)

    def _name(self, index: int) -> str:
        return str(self._graph.tensors[index].name.decode())

    def _sides(self, tensor: Any) -> tuple[int, ...]:
        return tuple(int(side) for side in tensor.shape) if tensor.shape is not None else ()

    def _constant(self, index: int) -> NDArray[Any] | None:
        tensor = self._graph.tensors[index]
        data = self._model.buffers[tensor.buffer].data
        if data is None or not len(data):
            return None
        types = self._schema.TensorType
        dtype = {types.FLOAT32: np.float32, types.INT32: np.int32, types.INT64: np.int64}.get(tensor.type, np.uint8)
        values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), dtype)
        return values.reshape(self._sides(tensor)) if dtype is not np.uint8 else values

    def _values(self, index: int) -> NDArray[np.float32]:
        values = self._constant(index)
        assert values is not None
        return values

    def _set(self, operator: int, slot: int, values: NDArray[np.float32]) -> None:
        """Let one operator read these values; others keep what they read."""
        target = self._graph.operators[operator]
        inputs = [int(index) for index in target.inputs]
        inputs += [-1] * (slot + 1 - len(inputs))
        old = inputs[slot]
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values, np.float32).tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        if old >= 0 and self._uses[old] == 1:
            tensor = self._graph.tensors[old]
            if self._buffers[int(tensor.buffer)] == 1:
                self._model.buffers.pop()
                self._model.buffers[tensor.buffer].data = buffer.data
            else:
                self._buffers[int(tensor.buffer)] -= 1
                tensor.buffer = len(self._model.buffers) - 1
        else:
            tensor = self._schema.TensorT()
            tensor.type, tensor.hasRank = self._schema.TensorType.FLOAT32, True
            tensor.name = f"{self._name(target.outputs[0])}/edgekit_{slot}".encode()
            tensor.buffer = len(self._model.buffers) - 1
            self._graph.tensors.append(tensor)
            inputs[slot] = len(self._graph.tensors) - 1
            self._uses[inputs[slot]] = 1
            if old >= 0:
                self._uses[old] -= 1
            target.inputs = inputs
        tensor.shape = [int(side) for side in values.shape]
        self._buffers[int(tensor.buffer)] = max(1, self._buffers[int(tensor.buffer)])
