"""Keras -> float32 `.tflite` or `.onnx`. These functions run in a child process: they import TensorFlow.

Both go through one frozen graph, in which the weights are constants. Freezing is several times faster than
exporting a SavedModel, and avoids two traps: `from_concrete_functions` given an unfrozen function writes an all-NaN
model without a word, and constants of Keras 3 that stay variables become extra inputs of an ONNX graph.

Recurrent layers are unrolled: a loop in a `.tflite` file is a subgraph of its own, which quantizers leave in float
and XNNPACK does not run. All steps share the weights. ONNX has an operator for an LSTM, which is kept.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.convert import INPUT, traces
from edgekit.core.errors import ConversionError
from edgekit.importers import keras_model
from edgekit.runtime.spec import printable

OPSET = 18
CONTROL_FLOW = {"While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase"}


def to_tflite(
    source: str, target: str, probes: str, answers: str, allow_lambda: bool, trace: dict[str, Any] | None = None
) -> None:
    """Write the model in `source` to `target` as a float32 `.tflite` with batch 1.

    `probes` is a `.npy` of inputs, float32 [N, H, W, C], of the size that the file is to have; Keras' own outputs for
    them go to `answers`. With `trace`, arguments of `traces.write`, what its layers give for the first `probed` of
    them is written, too.

    Raises:
        ConversionError: an operator has no TFLite built-in (the message names the Keras layers), a layer keeps a state
            from image to image, or a loop is left.
    """
    model = keras_model.load(Path(source), allow_lambda=allow_lambda)
    import tensorflow as tf  # only now: what the checks refuse need not wait for it

    _require_stateless(model)
    if trace is not None:
        _trace(model, probes, **trace)
    names = _rename(model)
    shape = (1, *_answer(model, probes, answers))
    _unroll(model)
    frozen = _freeze(model, shape)
    if flow := [operator for _, operator in _nodes(frozen) if operator in CONTROL_FLOW]:
        layers = _layers_of(flow, _nodes(frozen), names)
        raise ConversionError(
            f"{_subject(layers)} hold{'' if len(layers) > 1 else 's'} a loop or a branch, and edgekit makes no .tflite "
            "file with one: quantizers leave what is inside in float.",
            "Build recurrent layers with unroll=True before the model is saved or exported, and convert again.",
        )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        Path(target).write_bytes(converter.convert())
    except Exception as error:  # the converter raises a different class for each of its stages
        operators = re.findall(r"'tf\.(\w+)' op ", str(error))
        if not operators:
            raise
        raise _unsupported("TFLite", operators, _nodes(frozen), names) from error


def to_onnx(
    source: str, target: str, probes: str, answers: str, allow_lambda: bool, trace: dict[str, Any] | None = None
) -> None:
    """Write the model in `source` to `target` as a float32 `.onnx` (opset 18) with an open batch dimension.

    See `to_tflite` for `probes`, `answers` and `trace`.

    Raises:
        ConversionError: an operator has no ONNX counterpart, or a layer keeps a state from image to image.
    """
    from edgekit.convert import tf2onnx_adapter

    tf2onnx_adapter.require()
    model = keras_model.load(Path(source), allow_lambda=allow_lambda)
    _require_stateless(model)
    if trace is not None:
        _trace(model, probes, **trace)
    names = _rename(model)
    shape = (None, *_answer(model, probes, answers))
    frozen = _freeze(model, shape)
    proto = _onnx(frozen)
    if tf2onnx_adapter.has_loop(proto) and _unroll(model):
        frozen = _freeze(model, shape)
        proto = _onnx(frozen)
    if operators := tf2onnx_adapter.left_over(proto):
        raise _unsupported("ONNX", operators, _nodes(frozen), names)
    tf2onnx_adapter.save(proto, Path(target))


def _trace(
    model: Any, probes: str, probed: int, taken: list[float], learned: dict[str, list[float]], target: str
) -> None:
    ranges = {name: (low, high) for name, (low, high) in learned.items()}
    traces.write(model, np.load(probes)[:probed], (taken[0], taken[1]), ranges, Path(target))


def _onnx(frozen: Any) -> Any:
    from edgekit.convert import tf2onnx_adapter

    return tf2onnx_adapter.graph_to_onnx(
        frozen.graph.as_graph_def(), frozen.inputs[0].name, frozen.outputs[0].name, OPSET
    )


def _require_stateless(model: Any) -> None:
    """Raise ConversionError where a layer remembers the images before: the same photo would be answered differently."""
    for layer in _recurrent(model):
        if layer.stateful:
            raise ConversionError(
                f"The layer {printable(layer.name)!r} is stateful: it keeps its state from one image to the next, and "
                "an answer would depend on the images before.",
                "Build it with stateful=False, load the same weights, and convert again.",
            )


def _unroll(model: Any) -> bool:
    """Let recurrent layers run their steps one after the other in the graph; gives whether there is one."""
    layers = _recurrent(model)
    for layer in layers:
        layer.unroll = True
    return bool(layers)


def _recurrent(model: Any) -> list[Any]:
    """The recurrent layers of a model, those inside of wrappers included."""
    import keras

    found, left = [], _operations(model)
    while left:
        layer = left.pop()
        if isinstance(layer, keras.layers.RNN):
            found.append(layer)
        elif isinstance(layer, keras.layers.Bidirectional):
            left += [layer.forward_layer, layer.backward_layer]
        elif isinstance(layer, keras.layers.Wrapper):
            left += [layer.layer, *_operations(layer.layer)]
    return found


def _freeze(model: Any, shape: tuple[int | None, ...]) -> Any:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = [tf.TensorSpec(shape, tf.float32, name=INPUT)]
    function = tf.function(lambda image: model(image, training=False), input_signature=signature)
    return convert_variables_to_constants_v2(function.get_concrete_function(), lower_control_flow=False)


def _answer(model: Any, probes: str, answers: str) -> tuple[int, ...]:
    """Answer the probes, and tell the shape of one."""
    inputs = np.load(probes)
    # One by one: all at once takes 200 MB more for MobileNetV2.
    np.save(answers, np.concatenate([np.asarray(model(image[None], training=False), np.float32) for image in inputs]))
    return tuple(inputs.shape[1:])


def _rename(model: Any) -> dict[str, str]:
    """Give the operations names that TensorFlow takes for scopes; returns the names that they had, by new name."""
    names = {}
    for operation in [model, *_operations(model)]:
        name = scope(operation.name)
        if operation is not model:
            names[name] = operation.name
        operation.name = name
    return names


def scope(name: str) -> str:
    """The name of an operation, as TensorFlow takes it for a scope."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    return name if name[:1].isalnum() else f"layer{name}"


def _operations(model: Any) -> list[Any]:
    """The layers and operations of a model and of the models in it."""
    found = []
    for operation in getattr(model, "operations", None) or getattr(model, "layers", []):
        found += [operation, *_operations(operation)]
    return found


def _nodes(frozen: Any) -> list[tuple[str, str]]:
    """Name and operator of every node, those inside of branches and loops included."""
    graph_def = frozen.graph.as_graph_def()
    functions = [node for function in graph_def.library.function for node in function.node_def]
    return [(node.name, node.op) for node in [*graph_def.node, *functions]]


def _unsupported(
    target: str, operators: list[str], nodes: list[tuple[str, str]], names: dict[str, str]
) -> ConversionError:
    operators = sorted(set(operators))
    what = f"operator{'s' if len(operators) > 1 else ''} {', '.join(printable(name) for name in operators[:5])}"
    layers = _layers_of(operators, nodes, names)
    return ConversionError(
        f"{_subject(layers)} need{'' if len(layers) > 1 else 's'} the {what}, which {target} does not have.",
        "Replace it by standard layers or operations, and convert again.",
    )


def _layers_of(operators: list[str], nodes: list[tuple[str, str]], names: dict[str, str]) -> list[str]:
    """The layers that need operators: the innermost in each node's name, model/layer_1/operation/Operator."""
    guilty: list[str] = []
    for path in (name for name, operator in nodes if operator in operators):
        parts = [(re.sub(r"_\d+$", "", part), part) for part in path.split("/")]  # Keras numbers scopes
        guilty += [names[plain if plain in names else part] for plain, part in parts if {plain, part} & set(names)][-1:]
    return [repr(printable(layer)) for layer in dict.fromkeys(guilty)]


def _subject(layers: list[str]) -> str:
    """Layers as a sentence begins with them."""
    return f"The layer{'s' if len(layers) > 1 else ''} {', '.join(layers[:5])}" if layers else "The model"
