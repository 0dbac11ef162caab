"""Small edits of a `.tflite` graph: names, a signature, normalisation and a byte input.

They go through the object API that TFLite generates from its schema.fbs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.convert import INPUT, OUTPUT
from edgekit.core.embed import inline_weights
from edgekit.core.errors import ImportRefused, ModelFileError


class TFLiteGraph:
    """A `.tflite` model with one subgraph, opened for editing.

    Raises:
        ModelFileError: the file is damaged or has several subgraphs.
    """

    def __init__(self, path: Path) -> None:
        import struct

        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        try:
            content = inline_weights(path.read_bytes())
            self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
        except (struct.error, IndexError, ValueError, TypeError, AttributeError) as error:
            raise ModelFileError("The .tflite file is damaged: its tables point outside of it.") from error
        for code in self._model.operatorCodes or []:  # files from before schema version 3a have the old field only
            code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
        if len(self._model.subgraphs or []) != 1:
            raise ModelFileError("The .tflite file has several subgraphs, which edgekit does not edit.")
        self._graph = self._model.subgraphs[0]

    def save(self, path: Path) -> None:
        """Write the edited model."""
        import flatbuffers

        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        path.write_bytes(builder.Output())

    def require_float(self, name: str) -> None:
        """Raise ImportRefused unless the model takes float32 and has no quantized or half-precision tensor."""
        types = self._schema.TensorType
        if self._graph.tensors[self._graph.inputs[0]].type != types.FLOAT32 or any(
            tensor.type == types.FLOAT16
            or (
                tensor.type in (types.INT8, types.UINT8, types.INT4)
                and tensor.quantization is not None
                and tensor.quantization.scale is not None
                and len(tensor.quantization.scale)
            )
            for tensor in self._graph.tensors
        ):
            raise ImportRefused(
                f"{name} is quantized already, and quantization cannot be undone.",
                "Convert the float model that it was made from.",
            )

    def strip_byte_input(self) -> None:
        """Take away what `prepend_byte_input` added, where it did."""
        first = self._graph.operators[0]
        code = self._model.operatorCodes[first.opcodeIndex].builtinCode
        tensor = self._graph.tensors[self._graph.inputs[0]]
        if (
            code == self._schema.BuiltinOperator.DEQUANTIZE
            and list(first.inputs) == list(self._graph.inputs)
            and tensor.type == self._schema.TensorType.UINT8
            and list(tensor.quantization.scale) == [1.0]
        ):
            self._graph.operators.pop(0)
            if int(first.inputs[0]) == len(self._graph.tensors) - 1:  # other indices must not move
                self._graph.tensors.pop()
            self._replace_input(int(first.outputs[0]))

    def name_tensors(self) -> None:
        """Name input and output as edgekit does, and give the model the one signature that quantizers ask for.

        Quantizers know tensors by their names, so each gets one of its own.
        """
        source, result = self._graph.inputs[0], self._graph.outputs[0]
        seen = {INPUT, OUTPUT, ""}
        for index, tensor in enumerate(self._graph.tensors):
            name = tensor.name or b""
            name = name if isinstance(name, str) else name.decode(errors="replace")  # text where an edit named it
            tensor.name = f"{name}#{index}" if name in seen else name
            seen.add(tensor.name)
        self._graph.tensors[source].name = INPUT
        self._graph.tensors[result].name = OUTPUT
        signature = self._schema.SignatureDefT()
        signature.signatureKey = "serving_default"
        signature.subgraphIndex = 0
        signature.inputs, signature.outputs = [self._entry(INPUT, source)], [self._entry(OUTPUT, result)]
        self._model.signatureDefs = [signature]

    def prepend_normalisation(self, mean: Sequence[float], std: Sequence[float], layout: str) -> None:
        """Let the graph take raw values and compute (x − mean) / std itself, as a MUL and an ADD per channel."""
        shape = [1, len(mean), 1, 1] if layout == "NCHW" else [1, 1, 1, len(mean)]
        scale = np.array([1 / s for s in std], np.float32)
        offset = np.array([-m / s for m, s in zip(mean, std, strict=True)], np.float32)
        model_input = self._graph.inputs[0]
        self._graph.tensors[model_input].name = "edgekit_normalised"
        raw = self._like(model_input, INPUT)
        scaled = self._like(model_input, "edgekit_scaled")
        mul = self._operator("MUL", "MulOptions", [raw, self._constant("edgekit_scale", scale, shape)], [scaled])
        add = self._operator(
            "ADD", "AddOptions", [scaled, self._constant("edgekit_offset", offset, shape)], [model_input]
        )
        self._graph.operators[:0] = [mul, add]
        self._replace_input(raw)

    def prepend_byte_input(self) -> None:
        """Let the graph take uint8 with scale 1 and zero point 0 (a DEQUANTIZE in front)."""
        model_input = self._graph.inputs[0]
        self._graph.tensors[model_input].name = f"{INPUT}_float"
        raw = self._like(model_input, INPUT)
        tensor = self._graph.tensors[raw]
        tensor.type = self._schema.TensorType.UINT8
        tensor.quantization = self._schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [1.0], [0]
        operator = self._operator("DEQUANTIZE", "DequantizeOptions", [raw], [model_input], version=1)
        self._graph.operators.insert(0, operator)
        self._replace_input(raw)

    def _replace_input(self, tensor: int) -> None:
        self._graph.inputs = [tensor]
        for signature in self._model.signatureDefs or []:
            signature.inputs = [self._entry(INPUT, tensor)]

    def _entry(self, name: str, tensor: int) -> Any:
        entry = self._schema.TensorMapT()
        entry.name, entry.tensorIndex = name, tensor
        return entry

    def _like(self, tensor: int, name: str) -> int:
        """A new activation with the shape of another."""
        other, made = self._graph.tensors[tensor], self._schema.TensorT()
        made.shape, made.shapeSignature, made.type = other.shape, other.shapeSignature, self._schema.TensorType.FLOAT32
        made.name, made.hasRank = name, True
        self._graph.tensors.append(made)
        return len(self._graph.tensors) - 1

    def _constant(self, name: str, values: np.ndarray[Any, Any], shape: list[int]) -> int:
        buffer, tensor = self._schema.BufferT(), self._schema.TensorT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        tensor.buffer, tensor.shape, tensor.name = len(self._model.buffers) - 1, shape, name
        tensor.type, tensor.hasRank = self._schema.TensorType.FLOAT32, True
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _operator(self, kind: str, options: str, inputs: list[int], outputs: list[int], version: int = 1) -> Any:
        code, operator = self._schema.OperatorCodeT(), self._schema.OperatorT()
        builtin = getattr(self._schema.BuiltinOperator, kind)
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
        self._model.operatorCodes.append(code)
        operator.opcodeIndex = len(self._model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, outputs
        operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(self._schema, f"{options}T")()
        return operator
