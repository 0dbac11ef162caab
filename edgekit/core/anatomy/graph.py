"""The operators of a `.tflite` file one by one: `read_graphs(path)`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.core.anatomy.result import Shape

Option = str | int | float


@dataclass(frozen=True)
class GraphTensor:
    """A tensor of a graph.

    Attributes:
        name: printable.
        dtype: as TFLite names it, in lower case.
        shape: an open size is None.
        scales, zero_points: of its quantization; more than one scale: one for each index along `axis`.
        axis: the dimension of the scales.
        blockwise: it has a scale for each block of values, in another tensor.
        constant: its values are in the file.
        values: of a constant of few integers, as axes and shapes are; None for all others.
    """

    name: str
    dtype: str
    shape: Shape
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int = 0
    blockwise: bool = False
    constant: bool = False
    values: tuple[int, ...] | None = None

    @property
    def per_channel(self) -> bool:
        """Whether it has several scales."""
        return len(self.scales) > 1


@dataclass(frozen=True)
class GraphOperator:
    """An operator of a graph.

    Attributes:
        name: as in TFLite's schema; "custom:NAME" for one that is no part of TensorFlow Lite.
        version: of the operator.
        inputs, outputs: indices of the graph's tensors; −1 for an optional input that is left out.
        options: by the names of the schema's tables; a fused activation is its name.
        macs: multiply-accumulate operations of one inference with the batch size of the file (`Anatomy.macs`).
    """

    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Option]
    macs: int


@dataclass(frozen=True)
class Graph:
    """A graph: the main one, or the body of a branch or a loop. The operators are in the order of execution."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    tensors: tuple[GraphTensor, ...]
    operators: tuple[GraphOperator, ...]
