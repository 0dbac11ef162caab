"""The network that quantized arithmetic computes: batch normalization folded into the weights, one step a layer.

An int8 file multiplies by weights that batch normalization has scaled, so these are the ones whose rounding must be
trained (Jacob et al. 2018, arXiv:1712.05877, section 3.2). Here they are folded once, before training, and the
statistics stay as they are, as Krishnamoorthi 2018 (arXiv:1806.08342, section 3.2) recommends for the end of training.
Needs Keras.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import EdgekitError
from edgekit.runtime.spec import printable
from edgekit.train.layer_graph import LayerGraph, Node

Arrays = list[NDArray[Any]]


def fold(model: Any) -> Any:
    """A network of Keras' own layers that answers the same as `model`, float32, without its batch normalization.

    - Models inside of it are opened.
    - Batch normalization after a convolution or a dense layer goes into its weights; elsewhere, on maps, it becomes a
      1 x 1 depthwise convolution.
    - A separable convolution becomes a depthwise and a pointwise one.
    - An activation of a convolution or a dense layer becomes a layer of its own, which keeps the name.

    Raises:
        EdgekitError: the model cannot be taken apart, or has layers that cannot be trained with fake quantization.
    """
    import keras

    graph = LayerGraph.of(model)
    for node in graph.nodes:
        _require_trainable(node.operation)
    source = keras.Input(batch_shape=(None, *graph.input.shape[1:]), name=graph.input.name)
    return keras.Model(source, graph.rebuild(source, _Folding(graph).emit), name=graph.name)


def _require_trainable(operation: Any) -> None:
    """Refuse what integer arithmetic or Keras' gradient knows nothing about."""
    import keras

    kind, name = type(operation).__name__, printable(str(operation.name))[:60]
    reason = ""
    if isinstance(operation, (keras.layers.RNN, keras.layers.Bidirectional, keras.layers.TimeDistributed)):
        reason = "recurrent layers keep a state that is not quantized here"
    elif not type(operation).__module__.startswith("keras."):
        reason = "it is none of Keras' own layers"
    elif getattr(operation, "data_format", "channels_last") == "channels_first":
        reason = "it takes the channels of an image first"
    elif getattr(operation, "quantization_mode", None) is not None:
        reason = f"it is quantized already ({operation.quantization_mode})"
    if reason:
        raise EdgekitError(
            f"--qat cannot train the layer {name!r} ({printable(kind)[:60]}): {reason}.",
            "Convert the model as it is: edgekit convert --quantize int8 --calibrate DATA.",
        )


class _Folding:
    """Makes the new layers of a graph, one call after the other."""

    def __init__(self, graph: LayerGraph) -> None:
        self._graph = graph
        self._clones: dict[int, Any] = {}
        self._folded: set[int] = set()  # batch normalizations that are part of the weights before them
        self._names: set[str] = set()

    def emit(self, node: Node, *args: Any, **kwargs: Any) -> Any:
        import keras

        operation = node.operation
        if id(node) in self._folded:
            return args[0]
        shared = self._graph.calls(operation) > 1
        if isinstance(operation, keras.layers.BatchNormalization) and not shared and _is_map(operation, args[0]):
            return self._as_convolution(operation, args[0])
        if not isinstance(operation, _weighted()) or shared:
            return self._clone(operation, args, kwargs)
        norm = self._norm_after(node)
        weights = _weights(node)
        linear = operation.activation is keras.activations.linear
        given = self._new_name(operation.name)
        name = given if linear else self._new_name(f"{given}_linear")
        x = args[0]
        if isinstance(operation, keras.layers.SeparableConv2D):
            x = self._depthwise_of(operation, weights.pop(0), x)
            layer = keras.layers.Conv2D(operation.filters, 1, name=name)
        else:
            layer = type(operation).from_config({**_plain(operation.get_config()), "name": name})
        if norm is not None:
            weights = _scaled(layer, weights, *_affine(norm.operation))
            self._folded.add(id(norm))
        x = _with(layer, weights, x)
        return x if linear else keras.layers.Activation(operation.activation, name=given)(x)

    def _clone(self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        import keras

        clone = self._clones.get(id(operation))
        if clone is None or not getattr(operation, "weights", None):  # with none, each call has a range of its own
            config = operation.get_config()
            if "dtype" in config:
                config["dtype"] = "float32"
            clone = self._clones[id(operation)] = type(operation).from_config(config)
            clone.name = self._new_name(operation.name)
            if isinstance(clone, keras.layers.BatchNormalization):
                clone.trainable = False
        made = clone(*args, **kwargs)
        if getattr(operation, "weights", None):
            clone.set_weights(operation.get_weights())
        return made

    def _norm_after(self, node: Node) -> Node | None:
        """The batch normalization that is all that follows a layer, and can become part of it."""
        import keras

        consumers = self._graph.consumers(node)
        if len(consumers) != 1 or node.operation.activation is not keras.activations.linear:
            return None
        [after] = consumers
        norm = after.operation
        foldable = (
            isinstance(norm, keras.layers.BatchNormalization)
            and self._graph.calls(norm) == 1
            and _axis(norm) in (-1, len(node.outputs[0].shape) - 1)
        )
        return after if foldable else None

    def _as_convolution(self, norm: Any, x: Any) -> Any:
        import keras

        scale, offset = _affine(norm)
        layer = keras.layers.DepthwiseConv2D(1, name=self._new_name(norm.name))
        return _with(layer, [scale.reshape(1, 1, -1, 1), offset], x)

    def _depthwise_of(self, layer: Any, kernel: NDArray[Any], x: Any) -> Any:
        import keras

        depthwise = keras.layers.DepthwiseConv2D(
            layer.kernel_size, strides=layer.strides, padding=layer.padding, dilation_rate=layer.dilation_rate,
            depth_multiplier=layer.depth_multiplier, name=self._new_name(f"{layer.name}_depthwise"),
        )
        return _with(depthwise, [kernel, np.zeros(kernel.shape[2] * kernel.shape[3])], x)

    def _new_name(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._names:
            name, number = f"{wanted}_{number}", number + 1
        self._names.add(name)
        return name


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a layer with weights: float32, linear, with a bias, nothing that pulls at its weights."""
    pulling = {name: None for name in config if name.endswith(("_regularizer", "_constraint"))}
    return {**config, **pulling, "activation": "linear", "use_bias": True, "dtype": "float32"}


def _weighted() -> tuple[Any, ...]:
    """The layers whose weights are quantized."""
    import keras

    known = keras.layers
    return known.Conv2D, known.DepthwiseConv2D, known.SeparableConv2D, known.Conv2DTranspose, known.Dense


def _weights(node: Node) -> Arrays:
    """Kernels and bias, float64; a bias of zeros where there is none."""
    arrays = [np.asarray(array, np.float64) for array in node.operation.get_weights()]
    if not node.operation.use_bias:
        arrays.append(np.zeros(node.outputs[0].shape[-1]))
    return arrays


def _scaled(layer: Any, weights: Arrays, scale: NDArray[Any], offset: NDArray[Any]) -> Arrays:
    """The weights of a layer after which its outputs are multiplied by `scale`, and `offset` is added, by channel."""
    import keras

    kernel, bias = weights
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        shape: tuple[int, ...] = kernel.shape[2:]
    elif isinstance(layer, keras.layers.Conv2DTranspose):
        shape = (len(scale), 1)
    else:
        shape = scale.shape
    return [kernel * scale.reshape(shape), bias * scale + offset]


def _affine(norm: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Batch normalization as it is at inference: scale and offset by channel, float64."""
    mean, variance = (np.asarray(each, np.float64) for each in (norm.moving_mean, norm.moving_variance))
    scale = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * np.asarray(norm.gamma, np.float64)
    offset = -mean * scale
    return scale, offset + np.asarray(norm.beta, np.float64) if norm.center else offset


def _is_map(norm: Any, x: Any) -> bool:
    return len(x.shape) == 4 and _axis(norm) in (-1, 3)


def _axis(norm: Any) -> int:
    """The one axis of a batch normalization; loaded ones name it in a list."""
    axis = norm.axis
    return int(axis[0] if isinstance(axis, (list, tuple)) else axis)


def _with(layer: Any, weights: Arrays, x: Any) -> Any:
    made = layer(x)
    layer.set_weights([np.asarray(array, np.float32) for array in weights])
    return made
