"""A float network as repairs see it: operators with weights, and what lies between, alike for .tflite and .onnx."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import ModelFileError
from edgekit.runtime import modelfile
from edgekit.runtime.spec import printable

Channels = NDArray[np.intp]
Carry = Callable[[Channels], Channels | None]


@dataclass(frozen=True)
class Operator:
    """One operator, with what a scale of its input's channels becomes behind it.

    Attributes:
        kind: `weighted` (convolution, depthwise convolution, dense layer), `carries` (each value of its output comes
            from one channel, and grows in proportion to it), `shifts` (adds a constant), or `mixes` (anything else).
        type: its name in the file's format, as in CONV_2D.
        inputs: the activations that it reads.
        output: the first tensor that it writes.
        activation: `exact` (f(sx) = s·f(x) for s > 0: none, ReLU), `clip` (ReLU up to some value) or `other`.
        clip: the value for `clip`.
        axis: of a weighted operator's output: the axis of its channels.
        groups: of a weighted operator: how many parts its channels are divided in.
        read: of a weighted operator: channel numbers in the shape of its input, to one for each input channel.
        carry: of `carries` and `shifts`: channel numbers in the shape of its input to those in the shape of its output.
            Both give None where channels are mixed.
        takes_bias: of a weighted operator: whether it has a place for one.
        why: of `mixes`: why nothing can be scaled across it, where it is not the type that says so.
    """

    kind: Literal["weighted", "carries", "shifts", "mixes"]
    type: str
    inputs: tuple[str, ...]
    output: str
    activation: Literal["exact", "clip", "other"] = "exact"
    clip: float = 0.0
    axis: int = -1
    groups: int = 1
    read: Carry = field(default=lambda numbers: None, repr=False)
    carry: Carry = field(default=lambda numbers: None, repr=False)
    takes_bias: bool = True
    why: str = ""


class Network(Protocol):
    """A float model, opened for repairs. Operators are named by their place in `operators`."""

    operators: tuple[Operator, ...]
    outputs: frozenset[str]

    def shape(self, tensor: str) -> tuple[int, ...] | None:
        """Of an activation, for one image; None where the file does not tell."""
        ...

    def weights(self, operator: int) -> NDArray[np.float32]:
        """Of a weighted operator: [outputs, inputs of a group, kernel…]."""
        ...

    def set_weights(self, operator: int, values: NDArray[np.float32]) -> None:
        """Replace them."""
        ...

    def bias(self, operator: int) -> NDArray[np.float32] | None:
        """Of a weighted operator: [outputs]; None without one. What it shares with others stays theirs, when set."""
        ...

    def set_bias(self, operator: int, values: NDArray[np.float32]) -> None:
        """Replace it, or give it one."""
        ...

    def offset(self, operator: int) -> NDArray[np.float32]:
        """The constant that an operator which `shifts` adds, in its own shape."""
        ...

    def set_offset(self, operator: int, values: NDArray[np.float32]) -> None:
        """Replace it by one that broadcasts to the same activation."""
        ...

    def raise_clip(self, operator: int) -> None:
        """Make a ReLU of what clips from above."""
        ...

    def add_twin(self, operator: int, weights: NDArray[np.float32]) -> str:
        """Add an operator that reads what a weighted one reads, with other weights, no bias and no activation.

        Gives the name of its output.
        """
        ...

    def quantized_weights(self, child: Path) -> dict[int, NDArray[np.float32]]:
        """What the weights of weighted operators became in a quantized file that was made of this one, dequantized."""
        ...

    def save(self, path: Path) -> None:
        """Write the model."""
        ...


def open_network(path: Path) -> Network:
    """Open a float `.tflite` or `.onnx` file that has been vetted (`core.probe`).

    Raises:
        ModelFileError: it is neither, or damaged, or has several subgraphs.
        MissingExtraError: onnx is not installed.
    """
    kind = modelfile.sniff(path)
    if kind == "tflite":
        from edgekit.quantize.network.tflite import TFLiteNetwork

        return TFLiteNetwork(path)
    if kind == "onnx":
        from edgekit.quantize.network.onnx import OnnxNetwork

        return OnnxNetwork(path)
    raise ModelFileError(f"{printable(path.name)} is not a .tflite or .onnx file, whose weights can be repaired.")


def along(numbers: Channels, axis: int) -> Channels | None:
    """Channel numbers that vary along one axis only, as a vector; None where they vary along others."""
    vector = np.moveaxis(numbers, axis, -1).reshape(-1, numbers.shape[axis])
    return vector[0] if (vector == vector[0]).all() else None


def spread(vector: Channels, axis: int, shape: tuple[int, ...]) -> Channels:
    """A vector along one axis of a shape, the same along the others."""
    aligned = [1] * len(shape)
    aligned[axis] = len(vector)
    return np.broadcast_to(vector.reshape(aligned), shape)


def pooled(numbers: Channels, axis: int, shape: tuple[int, ...]) -> Channels | None:
    """Behind an operator that mixes places, and leaves the channels along `axis` apart."""
    vector = along(numbers, axis)
    return None if vector is None or len(shape) != numbers.ndim else spread(vector, axis, shape)


def reduced(numbers: Channels, axes: tuple[int, ...], shape: tuple[int, ...]) -> Channels | None:
    """Behind a mean, sum or maximum over axes."""
    first = numbers
    for axis in axes:
        first = first.take([0], axis)
    return first.reshape(shape) if (numbers == first).all() else None


def stretched(numbers: Channels, shape: tuple[int, ...]) -> Channels | None:
    """Behind zeros around, or a resize: axes whose size changes must be the same all along."""
    if len(shape) != numbers.ndim:
        return None
    axes = [axis for axis, size in enumerate(shape) if size != numbers.shape[axis]]
    first = numbers
    for axis in axes:
        first = first.take([0], axis)
    return np.broadcast_to(first, shape) if (numbers == first).all() else None


def reads_rows(numbers: Channels, width: int) -> Channels | None:
    """What a dense layer of `width` inputs reads of each row."""
    if numbers.size % width:
        return None
    return along(numbers.reshape(-1, width), 1)


def broadcasts(constant: Any, shape: tuple[int, ...]) -> bool:
    """Whether a constant is spread over an activation, and does not widen it."""
    try:
        return bool(np.broadcast_shapes(np.shape(constant), shape) == shape)
    except ValueError:
        return False
