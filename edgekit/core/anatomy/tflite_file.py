"""The anatomy of a `.tflite` file, read with TFLite's own schema (schema.fbs); no interpreter."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core.anatomy.graph import Graph, GraphOperator, GraphTensor, Option
from edgekit.core.anatomy.result import Anatomy, Shape, Tensor, Weight, assemble, clean
from edgekit.core.errors import ModelFileError, RuntimeMissingError
from edgekit.runtime.spec import printable

MAX_ITEMS = 1_000_000  # a hostile file can name one table any number of times
MAX_VALUES = 64  # of a constant that is read: axes, shapes, paddings

_COUNTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL")
_LSTM_WEIGHTS = (*range(1, 9), 16)  # inputs of UNIDIRECTIONAL_SEQUENCE_LSTM, the last the projection
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_INTEGERS = {"int32": "<i4", "int64": "<i8"}


def read(path: Path) -> Anatomy:
    """Read the file at `path`; on a damaged one any exception."""
    return _Reader(path, _schema()).anatomy()


def read_graphs(path: Path) -> tuple[Graph, ...]:
    """The graphs of the file at `path`, the main one first; on a damaged one any exception."""
    return _Reader(path, _schema()).read_graphs()


def _schema() -> Any:
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise RuntimeMissingError("Inspecting a .tflite file needs ai-edge-litert.",
                                  "Install it with: pip install ai-edge-litert") from error
    return schema


@dataclass(frozen=True)
class _Operator:
    name: str
    version: int
    inputs: list[int]  # tensors of the graph; −1 for an optional one that is left out
    outputs: list[int]
    table: Any


@dataclass(frozen=True)
class _Graph:
    inputs: list[int]
    outputs: list[int]
    tensors: list[Any]
    operators: list[_Operator]


class _Reader:
    def __init__(self, path: Path, schema: Any) -> None:
        self.path = path
        self.schema = schema
        self.content = path.read_bytes()
        self.items = 0
        self.dtypes = _constants(schema.TensorType)
        self.builtins = _constants(schema.BuiltinOperator)
        self.activations = _constants(schema.ActivationFunctionType)
        self.options = _constants(schema.BuiltinOptions)
        model = schema.Model.GetRootAs(self.content, 0)
        self.codes = [self._code(code) for code in self._list(model.OperatorCodesLength(), model.OperatorCodes)]
        self.buffers = self._list(model.BuffersLength(), model.Buffers)
        self.graphs = [self._graph(graph) for graph in self._list(model.SubgraphsLength(), model.Subgraphs)]

    def anatomy(self) -> Anatomy:
        main = self.graphs[0]
        operators = Counter(operator.name for graph in self.graphs for operator in graph.operators)
        weights: dict[int, Weight] = {}  # by buffer: tensors can share one
        for graph in self.graphs:
            consumers = {index: operator for operator in reversed(graph.operators) for index in operator.inputs}
            for index, tensor in enumerate(graph.tensors):
                weight = self._weight(tensor, _consumer(index, consumers))
                if weight is not None:
                    weights.setdefault(tensor.Buffer(), weight)
        return assemble(self.path, "tflite", (self._tensor(main.tensors[index]) for index in main.inputs),
                        (self._tensor(main.tensors[index]) for index in main.outputs), operators,
                        list(weights.values()), self._macs(main))

    def read_graphs(self) -> tuple[Graph, ...]:
        found = []
        for graph in self.graphs:
            operators = tuple(
                GraphOperator(one.name, one.version, tuple(one.inputs), tuple(one.outputs), self._options(one.table),
                              self._operator_macs(one, graph))
                for one in graph.operators
            )
            tensors = tuple(self._graph_tensor(tensor) for tensor in graph.tensors)
            found.append(Graph(tuple(graph.inputs), tuple(graph.outputs), tensors, operators))
        return tuple(found)

    def _graph_tensor(self, tensor: Any) -> GraphTensor:
        quantization, dtype = tensor.Quantization(), self._dtype(tensor)
        scales = zero_points = ()
        if quantization is not None:
            scales = tuple(self._list(quantization.ScaleLength(), quantization.Scale))
            zero_points = tuple(self._list(quantization.ZeroPointLength(), quantization.ZeroPoint))
        data = self._data(tensor)
        values = None
        if data and dtype in _INTEGERS and len(data) <= 8 * MAX_VALUES:
            values = tuple(np.frombuffer(data, _INTEGERS[dtype]).tolist())
        return GraphTensor(
            name=clean(tensor.Name()),
            dtype=dtype,
            shape=_signature(tensor),
            scales=tuple(map(float, scales)),
            zero_points=tuple(map(int, zero_points)),
            axis=quantization.QuantizedDimension() if quantization is not None else 0,
            blockwise=self._quantization(tensor) == "blockwise",
            constant=bool(data),
            values=values,
        )

    def _options(self, table: Any) -> dict[str, Option]:
        """The operator's options, those that are numbers."""
        options, kind = table.BuiltinOptions(), self.options.get(table.BuiltinOptionsType(), "NONE")
        if options is None or kind == "NONE":
            return {}
        reader = getattr(self.schema, kind)()
        reader.Init(options.Bytes, options.Pos)
        named = vars(getattr(self.schema, f"{kind}T").InitFromObj(reader))
        found: dict[str, Option] = {}
        for name, value in named.items():
            if name == "fusedActivationFunction":
                found[name] = self.activations.get(value, f"activation {value}")
            elif isinstance(value, int | float):
                found[name] = value
        return found

    def _graph(self, graph: Any) -> _Graph:
        tensors = self._list(graph.TensorsLength(), graph.Tensors)
        operators = []
        for table in self._list(graph.OperatorsLength(), graph.Operators):
            inputs = self._list(table.InputsLength(), table.Inputs)
            outputs = self._list(table.OutputsLength(), table.Outputs)
            name, version = self.codes[table.OpcodeIndex()]
            operators.append(_Operator(name, version, inputs, outputs, table))
        return _Graph(self._list(graph.InputsLength(), graph.Inputs), self._list(graph.OutputsLength(), graph.Outputs),
                      tensors, operators)

    def _code(self, code: Any) -> tuple[str, int]:
        """The name of an operator, and its version."""
        # Old converters fill only the first of the two; later ones cap it at 127.
        number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
        if number == self.schema.BuiltinOperator.CUSTOM:
            return f"custom:{clean(code.CustomCode())}", code.Version()
        return self.builtins.get(number, f"OPERATOR_{number}"), code.Version()

    def _tensor(self, tensor: Any) -> Tensor:
        quantization = tensor.Quantization()
        quantized = quantization is not None and quantization.ScaleLength() == 1
        return Tensor(
            name=clean(tensor.Name()),
            dtype=self._dtype(tensor),
            shape=_signature(tensor),
            scale=float(quantization.Scale(0)) if quantized else None,
            zero_point=int(quantization.ZeroPoint(0)) if quantized else None,
        )

    def _dtype(self, tensor: Any) -> str:
        return self.dtypes.get(tensor.Type(), f"type {tensor.Type()}").lower()

    def _weight(self, tensor: Any, op: str) -> Weight | None:
        """The tensor as a weight; None when it has no data, or is a single number, a shape, an axis or the like."""
        data = self._data(tensor)
        dtype, quantization = self._dtype(tensor), self._quantization(tensor)
        shape = _shape(tensor)
        if not data or not shape or not (dtype in _FLOATS or quantization):
            return None
        return Weight(clean(tensor.Name()), op, dtype, shape, len(data), quantization)

    def _data(self, tensor: Any) -> memoryview:
        """The values of a constant tensor as they lie in the file; of others none."""
        if tensor.Buffer() == 0:  # by convention: no data
            return memoryview(b"")
        buffer = self.buffers[tensor.Buffer()]
        if buffer.Offset() > 1:  # its data lies after the flatbuffer
            end = buffer.Offset() + buffer.Size()
            if end > len(self.content):
                raise ModelFileError(f"{printable(str(self.path))} is incomplete: weights lie beyond its end.",
                                     "Copy it again.")
            return memoryview(self.content)[buffer.Offset() : end]
        return memoryview(b"" if buffer.DataIsNone() else buffer.DataAsNumpy())

    def _quantization(self, tensor: Any) -> str:
        quantization = tensor.Quantization()
        if quantization is None:
            return ""
        if quantization.DetailsType() == self.schema.QuantizationDetails.BlockwiseQuantization:
            return "blockwise"
        scales = quantization.ScaleLength()
        return "per-channel" if scales > 1 else "per-tensor" if scales else ""

    def _macs(self, graph: _Graph) -> int | None:
        inputs = [graph.tensors[index] for index in graph.inputs]
        if any(size is None for tensor in inputs for size in _signature(tensor)[1:]):
            return None
        batch = _shape(inputs[0])[0] if inputs and _shape(inputs[0]) else 1
        return sum(self._operator_macs(operator, graph) for operator in graph.operators) // max(1, batch)

    def _operator_macs(self, operator: _Operator, graph: _Graph) -> int:
        """The formulas of `Anatomy.macs`; in the comments, the dimensions of the weights."""
        if operator.name == "UNIDIRECTIONAL_SEQUENCE_LSTM":  # batch and time in either order, then the channels
            weights = [operator.inputs[place] for place in _LSTM_WEIGHTS if place < len(operator.inputs)]
            elements = sum(math.prod(_shape(graph.tensors[index])) for index in weights if index >= 0)
            return math.prod(_shape(graph.tensors[operator.inputs[0]])[:-1]) * elements
        if operator.name not in _COUNTED:
            return 0
        result = _shape(graph.tensors[operator.outputs[0]])
        data, kernel = (_shape(graph.tensors[index]) for index in operator.inputs[:2])
        match operator.name:
            case "CONV_2D":  # output channels, height, width, input channels of the group
                return math.prod(result + kernel[1:])
            case "DEPTHWISE_CONV_2D":  # 1, height, width, output channels
                return math.prod(result + kernel[1:3])
            case "TRANSPOSE_CONV":  # output channels, height, width, input channels; the data is the third input
                return math.prod(_shape(graph.tensors[operator.inputs[2]]) + kernel[:3])
            case "FULLY_CONNECTED":  # outputs, inputs
                return math.prod(result + kernel[1:])
            case _:
                return math.prod(result) * data[-2 if self._adjoint(operator) else -1]

    def _adjoint(self, operator: _Operator) -> bool:
        """Whether BATCH_MATMUL takes its first matrix transposed."""
        table = operator.table.BuiltinOptions()
        if table is None:
            return False
        options = self.schema.BatchMatMulOptions()
        options.Init(table.Bytes, table.Pos)
        return bool(options.AdjX())

    def _list(self, length: int, item: Callable[[int], Any]) -> list[Any]:
        self.items += length
        if self.items > MAX_ITEMS:
            raise ModelFileError(f"{printable(str(self.path))} has more than {MAX_ITEMS} parts.")
        return [item(index) for index in range(length)]


def _consumer(index: int, consumers: dict[int, _Operator]) -> str:
    """The operator that takes a tensor; for float16 weights the one behind their DEQUANTIZE."""
    operator = consumers.get(index)
    if operator is not None and operator.name == "DEQUANTIZE" and operator.outputs:
        operator = consumers.get(operator.outputs[0], operator)
    return "" if operator is None else operator.name


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(max(0, tensor.Shape(index)) for index in range(min(tensor.ShapeLength(), 16)))


def _signature(tensor: Any) -> Shape:
    """The shape, with None where the model leaves the size open."""
    shape = _shape(tensor)
    if tensor.ShapeSignatureLength() != len(shape):
        return shape
    return tuple(None if tensor.ShapeSignature(index) < 0 else size for index, size in enumerate(shape))


def _constants(names: Any) -> dict[int, str]:
    """Names by value of one of the schema's enumerations."""
    return {value: name for name, value in vars(names).items() if isinstance(value, int)}
