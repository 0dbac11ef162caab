"""What a loaded Keras model takes, gives and does first and last. Runs in a child process: it imports Keras.

Keras offers no public way from a tensor to the operation that made it: `_keras_history`, `_inbound_nodes` and
`_nodes_by_depth` are its own names (3.15), used here and nowhere else in edgekit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.runtime.spec import printable

# Operations that leave the scores as they are, apart from their shape.
_HANDS_ON = frozenset({"Reshape", "Flatten", "Dropout", "Identity", "Squeeze", "ExpandDims"})
_NAMED = {"Softmax": "softmax", "Sigmoid": "sigmoid", "LogSoftmax": "log_softmax", "ReLU": "relu", "Relu": "relu"}
# Operations that may be part of a normalisation at a model's start, or do nothing there at inference. Whether
# together they are one, is found out by running them.
_PREPARES = frozenset({
    "InputLayer", "Rescaling", "Normalization", "Identity", "Dropout", "Resizing", "CenterCrop", "RandomFlip",
    "RandomRotation", "RandomZoom", "RandomTranslation", "RandomCrop", "RandomContrast", "RandomBrightness", "Cast",
    "Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Negative", "GetItem", "Stack", "Flip", "Concatenate",
})
_TOLERANCE = 1e-4
_PROBE = 255.0


def describe(model: Any) -> dict[str, Any]:
    """A model as JSON.

    Returns:
        inputs, outputs: lists of {name, shape (None: open), dtype}.
        activation: of the last layer ("softmax", "sigmoid", "linear", …; "unknown" where it has none).
        normalization: what the first layers do to the input's channels, or None: real = (x − mean) / std with
            `mean` and `std` per channel of the input, also where they reverse the channels. None for a frozen
            graph, too: it cannot be looked into.
    """
    return {
        "inputs": [_tensor(tensor, tensor.name) for tensor in model.inputs],
        "outputs": [_tensor(tensor, tensor._keras_history.operation.name) for tensor in model.outputs],
        "activation": last_activation(model),
        "normalization": first_normalization(model),
    }


def last_activation(model: Any) -> str:
    """The activation that the model's first output comes out of; "unknown" when the last layer has none."""
    tensor = model.outputs[0]
    while True:
        history = tensor._keras_history
        operation = history.operation
        name = type(operation).__name__
        if name == "FrozenGraph":
            return str(operation.last_activation())
        if hasattr(operation, "layers"):  # a nested model
            tensor = operation.outputs[history.tensor_index]
        elif name in _HANDS_ON:
            tensor = operation._inbound_nodes[history.node_index].input_tensors[0]
        elif name in _NAMED:
            return _NAMED[name]
        else:
            activation = getattr(operation, "activation", None)
            return printable(getattr(activation, "__name__", type(activation).__name__)) if activation else "unknown"


def first_normalization(model: Any) -> dict[str, Any] | None:
    """How the first layers normalise the channels of the input (see `describe`); None when they do not.

    The layers of `_PREPARES` at the model's start are run on images of one colour. They are a normalisation if the
    result is of one colour, too, and each of its channels an affine function of one channel of the input.
    """
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4 or model.inputs[0].shape[-1] not in (1, 3):
        return None
    channels = model.inputs[0].shape[-1]
    matrix, offset = np.eye(channels), np.zeros(channels)
    for inner_model, tensor in _leading_parts(model):
        part = _affine(inner_model, tensor)
        if part is None:
            break
        matrix, offset = part[0] @ matrix, part[0] @ offset + part[1]
    source = np.abs(matrix).argmax(axis=1)  # the input channel that each channel comes from
    scale = matrix[np.arange(channels), source]
    one_each = sorted(source) == list(range(channels)) and np.count_nonzero(np.abs(matrix) > 1e-12) == channels
    reverses = bool(channels > 1 and (source == np.arange(channels)[::-1]).all())
    if not one_each or not (scale > 0).all() or not (reverses or (source == np.arange(channels)).all()):
        return None
    if not reverses and np.allclose(scale, 1) and np.allclose(offset, 0):
        return None
    order = np.argsort(source)
    mean, std = (-offset / scale)[order], (1 / scale)[order]
    return {"mean": _rounded(mean), "std": _rounded(std)}


def _leading_parts(model: Any) -> list[tuple[Any, Any]]:
    """Pairs (model, tensor) such that running them in turn runs what lies before the first layer that mixes pixels.

    There are several when the model begins with a nested model.
    """
    import keras

    graph = keras.Model(model.inputs, model.outputs)  # a Sequential shows its operations only this way
    # An operation also keeps its calls in other graphs.
    calls = {id(node) for depth in graph._nodes_by_depth.values() for node in depth}
    nodes = {id(operation): [node for node in operation._inbound_nodes if id(node) in calls]
             for operation in graph.operations}
    prepared = {id(tensor) for tensor in graph.inputs}
    last, following = graph.inputs[0], []
    for operation in graph.operations:
        node = next((node for node in nodes[id(operation)]
                     if node.input_tensors and all(id(tensor) in prepared for tensor in node.input_tensors)), None)
        if node is None or len(node.output_tensors) != 1:
            continue
        if hasattr(operation, "layers") and len(operation.inputs) == 1:
            parts = _leading_parts(operation)
            if parts[-1][1] is not operation.outputs[0]:
                following = parts
                last = node.input_tensors[0]
                break
        elif type(operation).__name__ not in _PREPARES:
            continue
        prepared.add(id(node.output_tensors[0]))
        if len(node.output_tensors[0].shape) == 4 and node.output_tensors[0].shape[-1] == graph.inputs[0].shape[-1]:
            last = node.output_tensors[0]
    used_raw = any(id(tensor) in prepared and tensor is not last for operation in graph.operations
                   for node in nodes[id(operation)] if not {id(made) for made in node.output_tensors} & prepared
                   for tensor in node.input_tensors)
    return [(graph, graph.inputs[0])] if used_raw else [(graph, last), *following]


def _affine(model: Any, tensor: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Matrix [C, C] and offset [C] of what `tensor` is of the model's input, or None when it is no such thing."""
    import keras

    channels = model.inputs[0].shape[-1]
    if tensor is model.inputs[0]:
        return np.eye(channels), np.zeros(channels)
    part = keras.Model(model.inputs[0], tensor)
    shape = [size or default for size, default in zip(model.inputs[0].shape[:3], (1, 8, 8), strict=True)]

    def run(colour: NDArray[np.float64]) -> NDArray[np.float64] | None:
        image = np.broadcast_to(colour, (*shape, channels)).astype(model.inputs[0].dtype)
        result = np.asarray(part(image, training=False), np.float64)[0]
        flat = result.reshape(-1, result.shape[-1])
        return flat[0] if np.allclose(flat, flat[0], atol=_TOLERANCE) else None

    zero, *units = (run(colour) for colour in np.concatenate([np.zeros((1, channels)), _PROBE * np.eye(channels)]))
    check = 50.0 * np.arange(1, channels + 1)
    found = run(check)
    if zero is None or found is None or any(unit is None or len(unit) != channels for unit in units):
        return None
    matrix = np.stack([unit - zero for unit in units if unit is not None], axis=1) / _PROBE
    matrix[np.abs(matrix) < 1e-6 * np.abs(matrix).max()] = 0
    scale = max(1.0, float(np.abs(found).max()))
    return (matrix, zero) if np.allclose(matrix @ check + zero, found, atol=_TOLERANCE * scale) else None


def _rounded(values: NDArray[np.float64]) -> list[float]:
    """To the precision of the float32 arithmetic that they were found with."""
    return [float(f"{value:.6g}") + 0.0 for value in values]  # + 0.0: no negative zero


def _tensor(tensor: Any, name: str) -> dict[str, Any]:
    return {"name": printable(name), "shape": list(tensor.shape), "dtype": str(tensor.dtype)}
