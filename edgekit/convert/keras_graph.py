"""Keras -> float32 `.tflite` or `.onnx`. These functions run in a child process: they import TensorFlow.

Both go through one frozen graph, in which the weights are constants. Freezing is several times faster than
exporting a SavedModel, and avoids two traps: `from_concrete_functions` given an unfrozen function writes an all-NaN
model without a word, and constants of Keras 3 that stay variables become extra inputs of an ONNX graph.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.convert import INPUT
from edgekit.core.errors import ConversionError
from edgekit.importers import keras_model
from edgekit.runtime.spec import printable

OPSET = 18


def to_tflite(source: str, target: str, probes: str, answers: str, allow_lambda: bool) -> None:
    """Write the model in `source` to `target` as a float32 `.tflite` with batch 1.

    `probes` is a `.npy` of inputs, float32 [N, H, W, C], of the size that the file is to have; Keras' own outputs for
    them go to `answers`.

    Raises:
        ConversionError: an operator has no TFLite built-in; the message names the Keras layers.
    """
    import tensorflow as tf

    model = keras_model.load(Path(source), allow_lambda=allow_lambda)
    frozen = _freeze(model, (1, *_answer(model, probes, answers)))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        Path(target).write_bytes(converter.convert())
    except Exception as error:  # the converter raises a different class for each of its stages
        raise _unsupported(error, [layer.name for layer in _layers(model)]) from error


def to_onnx(source: str, target: str, probes: str, answers: str, allow_lambda: bool) -> None:
    """Write the model in `source` to `target` as a float32 `.onnx` (opset 18) with an open batch dimension.

    See `to_tflite` for `probes` and `answers`.

    Raises:
        ConversionError: an operator has no ONNX counterpart.
    """
    import onnx

    from edgekit.convert.tf2onnx_adapter import graph_to_onnx

    model = keras_model.load(Path(source), allow_lambda=allow_lambda)
    frozen = _freeze(model, (None, *_answer(model, probes, answers)))
    try:
        proto = graph_to_onnx(frozen.graph.as_graph_def(), frozen.inputs[0].name, frozen.outputs[0].name, OPSET)
    except Exception as error:
        raise _unsupported(error, [layer.name for layer in _layers(model)]) from error
    onnx.save(proto, target)


def _freeze(model: Any, shape: tuple[int | None, ...]) -> Any:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = [tf.TensorSpec(shape, tf.float32, name=INPUT)]
    function = tf.function(lambda image: model(image, training=False), input_signature=signature)
    return convert_variables_to_constants_v2(function.get_concrete_function())


def _answer(model: Any, probes: str, answers: str) -> tuple[int, ...]:
    """Answer the probes, and tell the shape of one."""
    inputs = np.load(probes)
    np.save(answers, np.asarray(model(inputs, training=False), np.float32))
    return tuple(inputs.shape[1:])


def _layers(model: Any) -> list[Any]:
    found = []
    for layer in getattr(model, "layers", []):
        found.append(layer)
        found += _layers(layer)
    return found


def _unsupported(error: Exception, layers: list[str]) -> ConversionError:
    """Say which layers the converter could not write, from the node names in its message."""
    text = str(error)
    nodes = set(re.findall(r'"([^"\s@]+)[^"]*"', text)) | set(re.findall(r"[\w./-]+/[\w./-]+", text))
    parts = {part for node in nodes for part in re.split(r"[/:]", node)}
    guilty = [name for name in layers if name in parts]
    operators = sorted(set(re.findall(r"\b(?:Flex|tf\.)(\w+)", text)) - {"function", "lite"})
    what = f"operators {', '.join(operators[:5])}" if operators else printable(text.strip().splitlines()[0])[:200]
    where = f" (layer {', '.join(printable(name) for name in guilty[:5])})" if guilty else ""
    return ConversionError(
        f"The model needs {what}{where}, which the target format does not have.",
        "Replace the layer by one made of standard operations, then convert again.",
    )
