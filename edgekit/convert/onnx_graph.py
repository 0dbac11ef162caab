"""Small edits of an `.onnx` graph: names, normalisation and a byte input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.convert import INPUT, OUTPUT
from edgekit.core.errors import ImportRefused, MissingExtraError

_QUANTIZED = {
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "QLinearConv",
    "ConvInteger",
    "MatMulInteger",
}


class OnnxGraph:
    """An `.onnx` model with one input and one output, opened for editing.

    Raises:
        MissingExtraError: onnx is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnx
        except ImportError as error:
            raise MissingExtraError("Editing an ONNX file", "onnx", "onnx") from error
        self._onnx = onnx
        self._model = onnx.load(str(path))
        self._graph = self._model.graph
        constants = {constant.name for constant in self._graph.initializer}
        self._input = next(tensor for tensor in self._graph.input if tensor.name not in constants)

    def save(self, path: Path) -> None:
        """Write the edited model."""
        self._onnx.save(self._model, str(path))

    def require_float(self, name: str) -> None:
        """Raise ImportRefused unless the model takes float32 and has no part that is quantized or of half precision."""
        types = self._onnx.TensorProto
        quantized = {node.op_type for node in self._graph.node} & _QUANTIZED
        half = any(constant.data_type in (types.FLOAT16, types.BFLOAT16) for constant in self._graph.initializer)
        if self._input.type.tensor_type.elem_type != types.FLOAT or quantized or half:
            raise ImportRefused(
                f"{name} is quantized already, and quantization cannot be undone.",
                "Convert the float model that it was made from.",
            )

    def strip_byte_input(self) -> None:
        """Take away what `prepend_byte_input` added, where it did."""
        if self._input.type.tensor_type.elem_type != self._onnx.TensorProto.UINT8:
            return
        for node in self._graph.node:
            if node.op_type == "Cast" and list(node.input) == [INPUT] and self._casts_to_float(node):
                self._graph.node.remove(node)
                for user in self._graph.node:
                    user.input[:] = [INPUT if name == node.output[0] else name for name in user.input]
                self._input.type.tensor_type.elem_type = self._onnx.TensorProto.FLOAT
                return

    def name_tensors(self) -> None:
        """Name input and output as edgekit does."""
        for tensor, new in ((self._input, INPUT), (self._graph.output[0], OUTPUT)):
            if tensor.name != new:
                self._rename(new, f"{new}_inner")
                self._rename(tensor.name, new)

    def prepend_normalisation(self, mean: Sequence[float], std: Sequence[float], layout: str) -> None:
        """Let the graph take raw values and compute (x − mean) / std itself, per channel."""
        shape = [1, len(mean), 1, 1] if layout == "NCHW" else [1, 1, 1, len(mean)]
        scale = np.array([1 / s for s in std], np.float32).reshape(shape)
        offset = np.array([-m / s for m, s in zip(mean, std, strict=True)], np.float32).reshape(shape)
        helper = self._onnx.helper
        for name, values in (("edgekit_scale", scale), ("edgekit_offset", offset)):
            self._graph.initializer.append(self._onnx.numpy_helper.from_array(values, name))
        self._feed_through("edgekit_normalised")
        self._graph.node.insert(
            0, helper.make_node("Add", ["edgekit_scaled", "edgekit_offset"], ["edgekit_normalised"], "edgekit_add")
        )
        self._graph.node.insert(0, helper.make_node("Mul", [INPUT, "edgekit_scale"], ["edgekit_scaled"], "edgekit_mul"))

    def prepend_byte_input(self) -> None:
        """Let the graph take uint8 (a Cast in front)."""
        self._feed_through(f"{INPUT}_float")
        node = self._onnx.helper.make_node(
            "Cast", [INPUT], [f"{INPUT}_float"], "edgekit_cast", to=self._onnx.TensorProto.FLOAT
        )
        self._graph.node.insert(0, node)
        self._input.type.tensor_type.elem_type = self._onnx.TensorProto.UINT8

    def _casts_to_float(self, node: Any) -> bool:
        return any(
            attribute.name == "to" and attribute.i == self._onnx.TensorProto.FLOAT for attribute in node.attribute
        )

    def _rename(self, old: str, new: str) -> None:
        """Give a tensor another name, wherever it is named."""
        for node in self._graph.node:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]
        for tensors in (self._graph.input, self._graph.output, self._graph.value_info, self._graph.initializer):
            for tensor in tensors:
                tensor.name = new if tensor.name == old else tensor.name

    def _feed_through(self, name: str) -> None:
        """Let every node that reads the input read `name` instead."""
        for node in self._graph.node:
            node.input[:] = [name if used == INPUT else used for used in node.input]
