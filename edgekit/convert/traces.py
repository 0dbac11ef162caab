"""What the layers of a Keras model hold for some probes, each with its range. Runs in a child process: it needs Keras.

Converters make several operators of some layers. What the first of them give is computed here, and its range follows
from that of the layer's input, since each step is monotone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.train.fake_quant import MOVING
from edgekit.train.layer_graph import LayerGraph, Node

Step = Callable[[NDArray[Any]], NDArray[Any]]
Range = tuple[float, float]


def write(model: Any, inputs: NDArray[np.float32], taken: Range, learned: Mapping[str, Range], target: Path) -> None:
    """Write the traces of a model, whose layers have the names that `learned` goes by, to an `.npz` file.

    It receives `ranges`, float64 [traces, 2], and `0`, `1`, …, the values of each trace, float32 [N, …].

    Args:
        inputs: what the model takes, float32 [N, H, W, C].
        taken: the least and the largest value that it is ever given.
    """
    import keras

    graph = LayerGraph.of(model)
    made_by = {id(tensor): node for node in graph.nodes for tensor in node.outputs}
    wanted: list[tuple[Any, Range, Step]] = []  # a tensor of the model, its range, and what is made of it

    def known(tensor: Any) -> Range | None:
        """The range of a tensor, which layers that only move values hand on."""
        if tensor is graph.input:
            return taken
        node = made_by[id(tensor)]
        if node.name in learned:
            return learned[node.name]
        return known(_input(node)) if type(node.operation).__name__ in MOVING else None

    for node in graph.nodes:
        if len(node.outputs) == 1 and (found := known(node.outputs[0])) is not None:
            wanted.append((node.outputs[0], found, _as_it_is))
        for step in _steps(node.operation):
            tensor = _input(node)
            if (found := known(tensor)) is not None:
                wanted.append((tensor, _after(step, found, tensor.shape[1:]), step))
    tensors = {id(tensor): tensor for tensor, _, _ in wanted if tensor is not graph.input}
    answers = []
    if tensors:
        answers = keras.tree.flatten(keras.Model(graph.input, list(tensors.values())).predict_on_batch(inputs))
    values = {id(graph.input): inputs, **dict(zip(tensors, answers, strict=True))}
    traces = {str(number): step(values[id(tensor)]) for number, (tensor, _, step) in enumerate(wanted)}
    np.savez(target, allow_pickle=False, ranges=np.array([found for _, found, _ in wanted]), **traces)


def _input(node: Node) -> Any:
    """The tensor that a layer takes."""
    import keras

    return next(value for value in keras.tree.flatten((node.args, node.kwargs)) if keras.utils.is_keras_tensor(value))


def _as_it_is(x: NDArray[Any]) -> NDArray[Any]:
    return x


def _after(step: Step, known: Range, shape: tuple[int | None, ...]) -> Range:
    """The range after a step that is monotone in each element; sides that are open do not matter."""
    ends = [step(np.full((1, *(side or 1 for side in shape)), end)) for end in known]
    return min(0.0, *(float(end.min()) for end in ends)), max(0.0, *(float(end.max()) for end in ends))


def _steps(operation: Any) -> Iterator[Step]:
    """What is computed on the way to a layer's output."""
    import keras

    known = keras.activations
    if isinstance(operation, keras.layers.Rescaling):
        yield lambda x: x * operation.scale
    elif isinstance(operation, keras.layers.Normalization):
        mean = np.asarray(operation.mean)
        yield lambda x: x - mean
    elif isinstance(operation, keras.layers.BatchNormalization):
        scale = 1 / np.sqrt(np.asarray(operation.moving_variance) + operation.epsilon)
        factor = scale * np.asarray(operation.gamma) if operation.scale else scale
        yield lambda x: x * factor
    activation = getattr(operation, "activation", None)
    if activation in (known.hard_silu, known.hard_sigmoid):
        yield lambda x: x + 3
        yield lambda x: np.clip(x + 3, 0, 6)
        yield lambda x: np.clip(x + 3, 0, 6) / 6
    elif activation is known.silu:
        yield lambda x: 1 / (1 + np.exp(-x))
