"""Fake quantization: a network that computes in float32 with the values that int8 arithmetic can hold, so that training
finds weights for it (Jacob et al. 2018, arXiv:1712.05877, section 3). Needs Keras, on TensorFlow or JAX.

Weights have a scale for each output channel of a convolution, and one for all of a dense layer; zero stays zero, and
the integers are -127 to 127. The range of an activation is a moving average of the extremes of its batches, and holds
zero. Rounding has the gradient of the identity within the range (Bengio et al. 2013, arXiv:1308.3432).

Where fake quantization stands follows the kernels of TFLite: after each operation, but after a ReLU that is part of
the one before it; not after operations that only move values or keep their scale; what is concatenated shares a range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from edgekit.train.layer_graph import LayerGraph, Node

Range = tuple[float, float]

MOMENTUM = 0.99  # of the ranges, a batch
LEAST = 1e-6  # a range or a kernel of zeros has a scale all the same
# What TFLite's kernels give, whatever they see: multiples of 1/256 and 1/128.
FIXED = {"sigmoid": (0.0, 255 / 256), "tanh": (-1.0, 127 / 128)}
# Layers and functions that move values about, or whose kernels keep the scale of their input.
MOVING = frozenset(
    (
        "Dropout", "SpatialDropout2D", "AlphaDropout", "GaussianDropout", "GaussianNoise", "ActivityRegularization",
        "Identity", "Flatten", "Reshape", "Permute", "RepeatVector", "ZeroPadding2D", "Cropping2D", "MaxPooling2D",
        "GlobalMaxPooling2D", "AveragePooling2D", "UpSampling2D", "Resizing", "Cast", "Copy", "ExpandDims", "Squeeze",
        "Transpose", "Pad", "GetItem", "MaxPool", "AveragePool",
    )
)
AFFINE = frozenset(("Rescaling", "Normalization", "Add", "Subtract", "Multiply"))  # in one tensor
DIVIDING = frozenset(("Divide", "TrueDivide"))  # in the first one


@dataclass(frozen=True)
class Simulation:
    """A network with fake quantization.

    `model` takes pixels 0..255, float32 [N, H, W, C], and gives probabilities, [N, labels]. `places` are the names of
    the operations of the folded network whose outputs have a range.
    """

    model: Any
    places: tuple[str, ...]

    def ranges(self) -> dict[str, Range]:
        """The range of each place, (low, high)."""
        import keras

        found = {}
        for name in self.places:
            layer = self.model.get_layer(_place(name))
            low, high = (float(keras.ops.convert_to_numpy(value)) for value in (layer.low, layer.high))
            found[name] = (low, high)
        return found

    def set_ranges(self, ranges: dict[str, Range]) -> None:
        """Begin with these ranges; those that are known beforehand stay."""
        for name, (low, high) in ranges.items():
            layer = self.model.get_layer(_place(name))
            if layer.learns:
                layer.set_weights([np.float32(min(low, 0.0)), np.float32(max(high, LEAST))])

    def round_into(self, folded: Any) -> None:
        """Give the folded network, of which this is the simulation, its weights as int8 has them."""
        import keras

        for layer in folded.layers:
            if not layer.weights:
                continue
            twin = self.model.get_layer(layer.name)
            arrays = twin.get_weights()
            if hasattr(twin, "rounded"):
                arrays[0] = keras.ops.convert_to_numpy(twin.rounded())
            layer.set_weights(arrays)


def simulate(graph: LayerGraph, feed: Callable[[Any], Any], pixels: Range, answer: Callable[[Any], Any]) -> Simulation:
    """Put fake quantization into a network that `edgekit.train.folding.fold` gave; the network itself is not changed.

    Args:
        feed: what becomes of pixels before they reach the network, a Keras tensor to another.
        pixels: the least and the largest value that comes out of `feed`.
        answer: what becomes of the network's output until it is probabilities; in float.
    """
    import keras

    image = keras.Input(graph.input.shape[1:], name="pixels")
    quantizing = _Quantizing(graph, pixels)
    output = graph.rebuild(feed(image), quantizing.emit)
    return Simulation(keras.Model(image, answer(output), name=graph.name), tuple(quantizing.ranges))


def observed(graph: LayerGraph, names: Sequence[str]) -> Any:
    """The network with the outputs of these operations as its outputs, in this order."""
    import keras

    outputs = {node.name: node.outputs[0] for node in graph.nodes}
    return keras.Model(graph.input, [outputs[name] for name in names])


class _Quantizing:
    """Makes the operations of the simulation, one call after the other."""

    def __init__(self, graph: LayerGraph, pixels: Range) -> None:
        self._graph = graph
        self._known = {id(graph.input): pixels}  # the exact ranges of tensors
        self._made: dict[int, Any] = {}
        self.ranges: dict[str, Any] = {}

    def emit(self, node: Node, *args: Any, **kwargs: Any) -> Any:
        operation = node.operation
        clone = self._made.get(id(operation))
        if clone is None:
            clone = self._made[id(operation)] = _twin(operation)
        made = clone(*args, **kwargs)
        if getattr(operation, "weights", None):
            clone.set_weights(operation.get_weights())
        kind = type(operation).__name__
        self._note_known(node, kind)
        if kind in MOVING or kind.startswith("Random") or _function(operation) == "softmax" or not _is_one(node):
            return made
        if node.name not in self.ranges:
            known = self._known.get(id(node.outputs[0])) or FIXED.get(_function(operation))
            self.ranges[node.name] = _layers()["range"](known, self._rounds(node), name=_place(node.name))
        return self.ranges[node.name](made)

    def _note_known(self, node: Node, kind: str) -> None:
        """The exact range of what comes straight from the pixels."""
        import keras

        given = (node.args, node.kwargs)
        tensors = [value for value in keras.tree.flatten(given) if keras.utils.is_keras_tensor(value)]
        known = self._known.get(id(tensors[0])) if len(tensors) == 1 and _is_one(node) else None
        affine = kind in AFFINE or (kind in DIVIDING and node.args[:1] and node.args[0] is tensors[0])
        if known is None or not (affine or kind in MOVING or kind.startswith("Random")):
            return
        if affine:
            values = []
            for end in known:
                image = np.full((1, *(side or 1 for side in tensors[0].shape[1:])), end, np.float32)
                args, kwargs = keras.tree.map_structure(partial(_instead, tensors[0], image), given)
                values.append(keras.ops.convert_to_numpy(node.operation(*args, **kwargs)))
            known = (float(np.min(values)), float(np.max(values)))
        self._known[id(node.outputs[0])] = (min(known[0], 0.0), max(known[1], 0.0))

    def _rounds(self, node: Node) -> bool:
        """Whether TFLite keeps this value in int8 with a scale of its own."""
        consumers = self._graph.consumers(node)
        if consumers and all(type(other.operation).__name__ == "Concatenate" for other in consumers):
            return False
        absorbs = type(node.operation).__name__ in ("Conv2D", "DepthwiseConv2D", "Dense", "Add")
        return not (absorbs and len(consumers) == 1 and _function(consumers[0].operation) == "relu")


def _is_one(node: Node) -> bool:
    """Whether it gives one tensor of real numbers."""
    return len(node.outputs) == 1 and str(node.outputs[0].dtype).startswith("float")


def _instead(old: Any, new: Any, value: Any) -> Any:
    return new if value is old else value


def _place(name: str) -> str:
    return f"{name}__range"


def _function(operation: Any) -> str:
    """What an activation computes: relu (where a kernel does it on the way), softmax, sigmoid or tanh; else nothing."""
    import keras

    kind, known = type(operation).__name__, keras.activations
    if kind == "Activation":
        named = {known.relu: "relu", known.relu6: "relu", known.softmax: "softmax", known.sigmoid: "sigmoid",
                 known.tanh: "tanh"}
        return named.get(operation.activation, "")
    if isinstance(operation, keras.layers.ReLU):
        usual = operation.max_value in (None, 6) and not operation.negative_slope and not operation.threshold
        return "relu" if usual else ""
    return {"Relu": "relu", "Relu6": "relu", "Softmax": "softmax", "Sigmoid": "sigmoid", "Tanh": "tanh"}.get(kind, "")


def _twin(operation: Any) -> Any:
    """An operation like this one; with rounded weights, if it has weights that int8 rounds."""
    import keras

    cls = _layers().get(type(operation).__name__, type(operation))
    made = cls.from_config(operation.get_config())
    made.name = operation.name
    if isinstance(made, keras.layers.BatchNormalization):
        made.trainable = False
    return made


@cache
def _layers() -> dict[str, Any]:
    """The layers of the simulation: `range`, and those with rounded weights by the name of the class they stand for."""
    import keras
    from keras import ops

    fake_quant = keras.quantizers.fake_quant_with_min_max_vars

    def by_channel(kernel: Any) -> Any:
        """Rounded with a scale for each index of the last axis."""
        largest = ops.max(ops.abs(kernel), axis=list(range(len(kernel.shape) - 1)))
        limits = ops.stop_gradient(ops.maximum(largest, LEAST))
        return fake_quant(kernel, -limits, limits, num_bits=8, narrow_range=True, axis=-1)

    def finished(layer: Any, made: Any) -> Any:
        """With bias and activation, which a layer that is called more than once has kept."""
        return layer.activation(ops.add(made, layer.bias) if layer.use_bias else made)

    class Range(keras.layers.Layer):  # type: ignore[misc]  # Keras is untyped
        """Follows the extremes of what passes, and rounds it to 256 values between them."""

        def __init__(self, known: tuple[float, float] | None, rounds: bool, **keywords: Any) -> None:
            super().__init__(dtype="float32", **keywords)
            self.learns, self._rounds, self._start = known is None, rounds, known or (0.0, 1.0)

        def build(self, shape: Any) -> None:
            for name, start in zip(("low", "high"), self._start, strict=True):
                initializer = keras.initializers.Constant(start)
                setattr(self, name, self.add_weight(shape=(), initializer=initializer, trainable=False, name=name))

        def call(self, x: Any, training: bool = False) -> Any:
            if training and self.learns:
                self.low.assign(MOMENTUM * self.low + (1 - MOMENTUM) * ops.minimum(ops.min(x), 0.0))
                self.high.assign(MOMENTUM * self.high + (1 - MOMENTUM) * ops.maximum(ops.max(x), LEAST))
            return fake_quant(x, self.low, self.high, num_bits=8) if self._rounds else x

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    class Conv2D(keras.layers.Conv2D):  # type: ignore[misc]
        """Rounds its kernel by output channel."""

        def rounded(self) -> Any:
            return by_channel(self.kernel)

        def call(self, x: Any) -> Any:
            made = ops.conv(
                x, self.rounded(), strides=self.strides, padding=self.padding, dilation_rate=self.dilation_rate
            )
            return finished(self, made)

    class DepthwiseConv2D(keras.layers.DepthwiseConv2D):  # type: ignore[misc]
        """Rounds its kernel by output channel."""

        def rounded(self) -> Any:
            height, width, channels, times = self.kernel.shape
            flat = ops.reshape(self.kernel, (height, width, channels * times))
            return ops.reshape(by_channel(flat), self.kernel.shape)

        def call(self, x: Any) -> Any:
            made = ops.depthwise_conv(
                x, self.rounded(), strides=self.strides, padding=self.padding, dilation_rate=self.dilation_rate
            )
            return finished(self, made)

    class Conv2DTranspose(keras.layers.Conv2DTranspose):  # type: ignore[misc]
        """Rounds its kernel by output channel, the third axis."""

        def rounded(self) -> Any:
            return ops.swapaxes(by_channel(ops.swapaxes(self.kernel, 2, 3)), 2, 3)

        def call(self, x: Any) -> Any:
            made = ops.conv_transpose(
                x, self.rounded(), strides=self.strides, padding=self.padding, output_padding=self.output_padding,
                dilation_rate=self.dilation_rate,
            )
            return finished(self, made)

    class Dense(keras.layers.Dense):  # type: ignore[misc]
        """Rounds its kernel with one scale."""

        def rounded(self) -> Any:
            limit = ops.stop_gradient(ops.maximum(ops.max(ops.abs(self.kernel)), LEAST))
            return fake_quant(self.kernel, -limit, limit, num_bits=8, narrow_range=True)

        def call(self, x: Any) -> Any:
            return finished(self, ops.matmul(x, self.rounded()))

    made = {cls.__name__: cls for cls in (Conv2D, DepthwiseConv2D, Conv2DTranspose, Dense)}
    return {"range": Range, **made}
