"""A float model taken apart: every layer computes from activations that are given to it, and not from its forerunners.

Given the activations of the quantized model, a float layer answers what a perfect layer would have made of them. The
difference to what the quantized layer made of them is the noise that this layer adds, apart from what came with its
input. All layers are computed at once, by a copy of the file in which the given activations are inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.core.embed import inline_weights
from edgekit.core.errors import ModelFileError
from edgekit.quantize.onnx_session import load_graph, open_session
from edgekit.quantize.taps import Activations
from edgekit.runtime import modelfile
from edgekit.runtime.spec import printable

GIVEN = "edgekit_given:"


class Isolated(Protocol):
    """A model taken apart at the activations `names`: each is computed, and each is given to those that read it."""

    names: tuple[str, ...]

    def run(self, tensor: NDArray[Any], given: Mapping[str, NDArray[np.float32]]) -> Activations:
        """Each activation, computed from those given for `names`; `tensor` is the model's own input, [1, …]."""
        ...


def isolate(path: Path, shapes: Mapping[str, tuple[int, ...]], threads: int = 1) -> Isolated:
    """Take a float `.tflite` or `.onnx` file apart that has been vetted, at float32 activations of these shapes.

    Names that are no such activation are left out.

    Raises:
        ModelFileError: it is neither, is damaged, or the runtime refuses it.
        MissingExtraError: onnx is not installed.
    """
    kind = modelfile.sniff(path)
    if kind == "tflite":
        return _IsolatedTFLite(path, shapes, threads)
    if kind == "onnx":
        return _IsolatedOnnx(path, shapes, threads)
    raise ModelFileError(f"{printable(path.name)} is not a .tflite or .onnx file, whose layers can be taken apart.")


class _IsolatedTFLite:
    def __init__(self, path: Path, shapes: Mapping[str, tuple[int, ...]], threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with modelfile.naming(path), modelfile.mapped(path) as view:
            start, end = modelfile.tflite_body(view)
            content, self.names = _cut(inline_weights(bytes(view[start:end])), shapes)
        try:
            self._interpreter = Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(f"The TFLite runtime refuses {printable(path.name)} taken apart: {error}") from error
        own, *given = self._interpreter.get_input_details()
        self._own = int(own["index"])
        self._given = {str(detail["name"])[len(GIVEN) :]: int(detail["index"]) for detail in given}
        made = self._interpreter.get_output_details()
        self._made = {str(detail["name"]): int(detail["index"]) for detail in made}

    def run(self, tensor: NDArray[Any], given: Mapping[str, NDArray[np.float32]]) -> Activations:
        """See Isolated."""
        self._interpreter.set_tensor(self._own, tensor)
        for name, index in self._given.items():
            self._interpreter.set_tensor(index, given[name])
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index) for name, index in self._made.items()}


def _cut(content: bytes, shapes: Mapping[str, tuple[int, ...]]) -> tuple[bytes, tuple[str, ...]]:
    """The model with a second tensor for each of these activations: an input, that the layers read instead."""
    import copy
    import struct

    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
        graph = model.subgraphs[0]
        given: dict[int, int] = {}
        for operator in graph.operators:
            for index in operator.outputs:
                tensor = graph.tensors[index]
                name = tensor.name.decode(errors="replace")
                if name in shapes and tensor.type == schema.TensorType.FLOAT32 and index not in given:
                    made = copy.copy(tensor)
                    made.name, made.shape, made.shapeSignature = GIVEN + name, list(shapes[name]), None
                    graph.tensors.append(made)
                    given[index] = len(graph.tensors) - 1
        for operator in graph.operators:
            operator.inputs = [given.get(int(index), int(index)) for index in operator.inputs]
        graph.inputs = [*graph.inputs, *given.values()]
        graph.outputs = list(given)
        model.signatureDefs = []
    except (struct.error, IndexError, ValueError, TypeError, AttributeError) as error:
        raise ModelFileError("The .tflite file is damaged: its tables point outside of it.") from error
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output()), tuple(graph.tensors[index].name.decode(errors="replace") for index in given)


class _IsolatedOnnx:
    def __init__(self, path: Path, shapes: Mapping[str, tuple[int, ...]], threads: int) -> None:
        model = load_graph(path)
        import onnx  # there, or the line before has said that it is missing

        graph = model.graph
        constants = {constant.name for constant in graph.initializer}
        self._input = next(str(tensor.name) for tensor in graph.input if tensor.name not in constants)
        self.names = tuple(name for node in graph.node for name in node.output if name in shapes)
        for node in graph.node:
            node.input[:] = [GIVEN + name if name in self.names else name for name in node.input]
        del graph.output[:]
        del graph.value_info[:]
        for name in self.names:
            graph.input.append(onnx.helper.make_tensor_value_info(GIVEN + name, onnx.TensorProto.FLOAT, None))
            graph.output.append(onnx.ValueInfoProto(name=name))
        self._session = open_session(model, f"{path.name} taken apart", threads)
        asked = {value.name for value in self._session.get_inputs()}
        self._given = [name for name in self.names if GIVEN + name in asked]  # the last ones are read by nobody

    def run(self, tensor: NDArray[Any], given: Mapping[str, NDArray[np.float32]]) -> Activations:
        """See Isolated."""
        feeds = {self._input: tensor, **{GIVEN + name: given[name] for name in self._given}}
        return dict(zip(self.names, self._session.run(list(self.names), feeds), strict=True))
