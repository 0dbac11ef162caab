"""The result of `anatomy`: plain dataclasses, JSON-able with `dataclasses.asdict`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.runtime.spec import printable

MAX_NAME_CHARACTERS = 200

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Tensor:
    """An input or output. An unknown dimension is None; `scale` and `zero_point` are None when it is not quantized."""

    name: str
    dtype: str
    shape: Shape
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True)
class Weight:
    """A constant tensor, the operator or layer that takes it, and its size in the file.

    `quantization` is per-tensor, per-channel, blockwise, or empty for numbers that stand for themselves.
    """

    name: str
    op: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    quantization: str = ""

    @property
    def parameters(self) -> int:
        """The number of its elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class WeightKind:
    """All weights of one dtype and quantization."""

    dtype: str
    quantization: str
    tensors: int
    parameters: int
    bytes: int


@dataclass(frozen=True)
class Anatomy:
    """What is inside a model file.

    `operators` are (name, count), most frequent first: TFLite or ONNX operators, those inside of branches and
    loops included, or Keras layer classes. `weights` are the trained tensors, largest first, and `weight_kinds`
    and `parameters` sum them up: constants that are floating-point or quantized, but no single numbers, shapes,
    axes or scales.

    `macs` are the multiply-accumulate operations of one inference with batch size 1. Counted are

        convolution (grouped and depthwise too)   output elements · weights per output channel
        transposed convolution                    input elements · weights per input channel
        fully connected, Gemm, matrix product     output elements · length of the summed dimension
        LSTM, GRU and RNN that are one operator   time steps · elements of the weight matrices

    in the main graph; all other operators count 0. None: the file does not say (a `.keras` file, unknown shapes).
    Names are printable, whatever the file holds.
    """

    format: str
    file_bytes: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: tuple[tuple[str, int], ...]
    weight_kinds: tuple[WeightKind, ...]
    parameters: int
    macs: int | None
    weights: tuple[Weight, ...]


def from_json(document: dict[str, Any]) -> Anatomy:
    """The way back from `dataclasses.asdict` and JSON."""

    def tensors(kind: type[Any], name: str) -> tuple[Any, ...]:
        return tuple(kind(**{**one, "shape": tuple(one["shape"])}) for one in document[name])

    return Anatomy(**{
        **document,
        "inputs": tensors(Tensor, "inputs"),
        "outputs": tensors(Tensor, "outputs"),
        "weights": tensors(Weight, "weights"),
        "operators": tuple((name, count) for name, count in document["operators"]),
        "weight_kinds": tuple(WeightKind(**one) for one in document["weight_kinds"]),
    })


def assemble(
    path: Path,
    kind: str,
    inputs: Iterable[Tensor],
    outputs: Iterable[Tensor],
    operators: Counter[str],
    weights: list[Weight],
    macs: int | None,
) -> Anatomy:
    """Sort and sum up what a reader found."""
    groups: dict[tuple[str, str], list[Weight]] = {}
    for weight in weights:
        groups.setdefault((weight.dtype, weight.quantization), []).append(weight)
    kinds = [WeightKind(dtype, quantization, len(group), sum(weight.parameters for weight in group),
                        sum(weight.bytes for weight in group)) for (dtype, quantization), group in groups.items()]
    return Anatomy(
        format=kind,
        file_bytes=path.stat().st_size,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        operators=tuple(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
        weight_kinds=tuple(sorted(kinds, key=lambda one: -one.bytes)),
        parameters=sum(weight.parameters for weight in weights),
        macs=macs,
        weights=tuple(sorted(weights, key=lambda weight: -weight.bytes)),
    )


def clean(name: str | bytes | None) -> str:
    """A name from a file, printable and of bearable length."""
    text = name.decode(errors="replace") if isinstance(name, bytes) else name or ""
    return printable(text[:MAX_NAME_CHARACTERS])
