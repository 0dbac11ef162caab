"""What the layers of a model compute: a copy of the file in which every activation is an output.

The runtime computes such a copy as it computes the model: measured with LiteRT, XNNPACK takes the same operators, the
answers are the same bit for bit, and it takes no longer. (Its switch to keep all tensors turns XNNPACK off, which is
ten times slower and rounds differently.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.core.embed import inline_weights
from edgekit.core.errors import ModelFileError
from edgekit.quantize.onnx_session import load_graph, open_session
from edgekit.runtime import modelfile
from edgekit.runtime.spec import printable

Activations = dict[str, NDArray[np.float32]]

MAX_ELEMENTS = 1 << 28  # of all activations together
OUTPUT_SUFFIX = "_QuantizeLinear_Input"  # ONNX Runtime's quantizer puts it behind what made the output before
# Where ONNX's and ONNX Runtime's integer operators have the scale and, behind it, the zero point of their output.
_OUTPUT_SCALES = {
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul"), 6),
    **dict.fromkeys(
        ("QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearReduceMean", "QLinearSigmoid",
         "QLinearSoftmax"),
        3,
    ),
    "QGemm": 7,
    "QLinearConcat": 0,
}  # fmt: skip


class Taps(Protocol):
    """A model, opened to look at its activations.

    `names` are the activations that can be read, in the order in which they are computed, the model's output among
    them; the second of a name has "#" and its index behind it. Quantized ones are dequantized. Constants and integers
    that stand for themselves are left out.
    """

    names: tuple[str, ...]

    def run(self, tensor: NDArray[Any]) -> Activations:
        """All activations for one input, [1, …] in the type that the model takes."""
        ...

    def each(self, tensor: NDArray[Any]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """The same, one by one and without a copy: keep none of them past the next step."""
        ...


def open_taps(path: Path, threads: int = 1) -> Taps:
    """Open a `.tflite` or `.onnx` file that has been vetted (`core.probe`).

    Raises:
        ModelFileError: it is neither, is damaged, or the runtime refuses it.
        MissingExtraError: onnx is not installed.
    """
    kind = modelfile.sniff(path)
    if kind == "tflite":
        return _TFLiteTaps(path, threads)
    if kind == "onnx":
        return _OnnxTaps(path, threads)
    raise ModelFileError(f"{printable(path.name)} is not a .tflite or .onnx file, whose layers can be looked at.")


class _TFLiteTaps:
    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with modelfile.naming(path), modelfile.mapped(path) as view:
            start, end = modelfile.tflite_body(view)
            content = _all_outputs(inline_weights(bytes(view[start:end])))
        try:
            self._interpreter = Interpreter(model_content=content, num_threads=threads)
            details = self._interpreter.get_output_details()
            if sum(math.prod(abs(int(side)) for side in detail["shape"]) for detail in details) > MAX_ELEMENTS:
                raise ModelFileError(f"The activations of {printable(path.name)} are too large to look at.")
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(f"The TFLite runtime refuses {printable(path.name)}: {error}") from error
        self._input = int(self._interpreter.get_input_details()[0]["index"])
        self._details: dict[str, dict[str, Any]] = {}
        for detail in details:
            if _is_real(detail):
                name = str(detail["name"])
                self._details[f"{name}#{detail['index']}" if name in self._details else name] = detail
        self.names = tuple(self._details)

    def run(self, tensor: NDArray[Any]) -> Activations:
        """See Taps."""
        return {name: np.array(values) for name, values in self.each(tensor)}

    def each(self, tensor: NDArray[Any]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """See Taps."""
        self._interpreter.set_tensor(self._input, tensor)
        self._interpreter.invoke()
        for name, detail in self._details.items():
            yield name, self._read(detail)

    def _read(self, detail: dict[str, Any]) -> NDArray[np.float32]:
        values: NDArray[Any] = self._interpreter.tensor(detail["index"])()
        scale, zero_point = detail["quantization"]
        if values.dtype.kind == "f" or not scale:
            return np.asarray(values, np.float32)
        return np.asarray((values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale))


def _is_real(detail: dict[str, Any]) -> bool:
    return np.dtype(detail["dtype"]).kind == "f" or bool(detail["quantization"][0])


def _all_outputs(content: bytes) -> bytes:
    """The same model with every activation of its main graph among the outputs, in the order of computation."""
    import struct

    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
        graph = model.subgraphs[0]
        known = {index for index, tensor in enumerate(graph.tensors) if _has_data(model, tensor)}
        outputs: list[int] = []
        for operator in graph.operators:
            inputs = [index for index in operator.inputs if index >= 0]
            if inputs and known.issuperset(inputs):  # weights that are made of weights
                known.update(operator.outputs)
            else:
                outputs += [index for index in operator.outputs if index >= 0]
        graph.outputs = list(dict.fromkeys([*outputs, *graph.outputs]))
        model.signatureDefs = []
    except (struct.error, IndexError, ValueError, TypeError, AttributeError) as error:
        raise ModelFileError("The .tflite file is damaged: its tables point outside of it.") from error
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _has_data(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


class _OnnxTaps:
    """An activation that is quantized is read behind its QuantizeLinear, so that operators are still fused."""

    def __init__(self, path: Path, threads: int) -> None:
        model = load_graph(path)
        import onnx  # there, or the line before has said that it is missing

        self._quantized, plain = _onnx_activations(model)
        wanted = list(dict.fromkeys([*self._quantized, *plain]))
        outputs = {output.name: output for output in model.graph.output}
        del model.graph.output[:]
        made_by = {name: self._quantized[name][0] if name in self._quantized else name for name in wanted}
        for name in dict.fromkeys([*made_by.values(), *outputs]):
            model.graph.output.append(outputs.get(name) or onnx.ValueInfoProto(name=name))
        self._session = open_session(model, path.name, threads)
        real = {output.name for output in self._session.get_outputs() if _is_real_onnx(output.type)}
        self._made_by = {name: made for name, made in made_by.items() if name in self._quantized or made in real}
        self._input = self._session.get_inputs()[0].name
        self.names = tuple(self._made_by)

    def run(self, tensor: NDArray[Any]) -> Activations:
        """See Taps."""
        return dict(self.each(tensor))

    def each(self, tensor: NDArray[Any]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """See Taps."""
        values = self._session.run(list(self._made_by.values()), {self._input: tensor})
        for name, value in zip(self._made_by, values, strict=True):
            yield name, self._real(name, value)

    def _real(self, name: str, values: NDArray[Any]) -> NDArray[np.float32]:
        if name not in self._quantized:
            return np.asarray(values, np.float32)
        _, scale, zero_point = self._quantized[name]
        return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def _is_real_onnx(kind: str) -> bool:
    return kind in ("tensor(float)", "tensor(float16)", "tensor(double)")


def output_scale(node: Any, constants: dict[str, Any]) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """The scale and the zero point of what an ONNX operator on integers computes; None for other operators.

    Args:
        node: a NodeProto.
        constants: TensorProtos by name.
    """
    from onnx import numpy_helper

    place = _OUTPUT_SCALES.get(node.op_type)
    names = [] if place is None else node.input[place : place + 2]
    if len(names) < 2 or not constants.keys() >= set(names):
        return None
    scale, zero = (numpy_helper.to_array(constants[name]) for name in names)
    return (scale, zero) if scale.size == zero.size == 1 else None


def _onnx_activations(model: Any) -> tuple[dict[str, tuple[str, float, float]], list[str]]:
    """The quantized activations with where they are made, their scale and zero point; and the others."""
    from onnx import numpy_helper

    constants = {one.name: one for one in model.graph.initializer}
    known = set(constants)
    quantized: dict[str, tuple[str, float, float]] = {}
    plain: list[str] = []
    from_quantized = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    last = {output.name for output in model.graph.output}
    for node in model.graph.node:
        inputs = [name for name in node.input if name]
        if known.issuperset(inputs):
            known.update(node.output)
        elif node.op_type == "QuantizeLinear" and set(node.input[1:]) <= set(constants):
            scale, zero = (numpy_helper.to_array(constants[name]) for name in node.input[1:3])
            if scale.size == 1:
                name = node.input[0].removesuffix(OUTPUT_SUFFIX)
                quantized[name] = (node.output[0], float(scale), float(zero))
        elif found := output_scale(node, constants):
            scale, zero = found
            quantized[node.output[0]] = (node.output[0], float(scale.item()), float(zero.item()))
        elif node.op_type != "DequantizeLinear" or last.intersection(node.output):
            between = from_quantized.intersection(inputs)  # inside of what is fused to one operator
            plain += [name for name in node.output if name and (name in last or not between)]
    return quantized, plain
