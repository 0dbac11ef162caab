"""Quantized and float `.tflite` files with something wrong in a known place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core import embed
from edgekit.runtime import modelfile

Change = Callable[[Any, dict[str, Any]], None]


def edited(source: Path, target: Path, change: Change) -> Path:
    """Write a `.tflite` file with its spec after `change(model, tensors by name)`; gives the target."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    with modelfile.mapped(source) as data:
        start, end = modelfile.tflite_body(data)
        content = bytes(data[start:end])
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    change(model, {tensor.name.decode(): tensor for tensor in model.subgraphs[0].tensors})
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    bare = target.with_suffix(".bare.tflite")
    bare.write_bytes(builder.Output())
    spec = modelfile.read_spec(source)
    assert spec is not None
    embed.write_spec(bare, spec, target)
    return target


def rescaled_range(part: str, factor: float) -> Change:
    """The activation with this in its name gets a range that is `factor` times as wide, from the same low end."""

    def change(model: Any, tensors: dict[str, Any]) -> None:
        outputs = {index for operator in model.subgraphs[0].operators for index in operator.outputs}
        made = [model.subgraphs[0].tensors[index] for index in outputs]
        [tensor] = [each for each in made if part in each.name.decode() and len(each.shape) == 4]
        tensor.quantization.scale = [float(tensor.quantization.scale[0]) * factor]

    return change


def multiply(model: Any, tensor: Any, factors: Any) -> None:
    """Multiply the values of a float32 constant; `factors` broadcast to its shape."""
    buffer = model.buffers[tensor.buffer]
    values = np.frombuffer(bytes(buffer.data), np.float32).reshape(tensor.shape) * factors
    buffer.data = np.frombuffer(np.asarray(values, np.float32).tobytes(), np.uint8)
