"""From the ranges that quantization-aware training has learned, by Keras layer, to ranges by tensor of a float core.

Names of tensors are the converters' own business, and so is which layers become one operator. So tensors are found by
what they hold: source and core answer the same probes, and an activation of the core that holds the same values as the
output of a layer, in whatever order and shape, has its range.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.convert import OUTPUT
from edgekit.core.learned_ranges import Ranges
from edgekit.quantize.taps import open_taps
from edgekit.runtime.spec import ModelSpec

PROBED = 3  # of the probes: the patterns, in which many values differ
SAME = 1e-3  # of the largest value


@dataclass(frozen=True)
class LearnedRanges:
    """The learned ranges of the activations of a float core, by tensor; and the tensors that have none."""

    ranges: Ranges
    missing: tuple[str, ...]


@dataclass(frozen=True)
class _Trace:
    values: NDArray[np.float32]  # sorted, [N, elements]
    range: tuple[float, float]


def by_tensor(core: Path, spec: ModelSpec, pixels: NDArray[np.uint8], traces: Path) -> LearnedRanges:
    """Find the learned ranges of a float core.

    Args:
        core: see `float_core.float_core`.
        spec: the source's.
        pixels: the first probes, uint8 [N, H, W, C].
        traces: what `traces.write` made of the same probes.

    Raises:
        ModelFileError: the core's activations cannot be looked at.
    """
    by_size: dict[int, list[_Trace]] = {}
    for trace in (*_of_pixels(spec, pixels), *_read(traces)):
        by_size.setdefault(trace.values.shape[1], []).append(trace)
    taps = open_taps(core)
    answers = [taps.run(image[None].astype(np.float32)) for image in pixels]
    found: Ranges = {}
    for tensor in taps.names:
        values = _sorted(np.stack([answer[tensor] for answer in answers]))
        near = [(_distance(trace.values, values), trace.range) for trace in by_size.get(values.shape[1], [])]
        distance, known = min(near, default=(np.inf, (0.0, 0.0)))
        if distance <= SAME:
            found[tensor] = known
    in_float = {OUTPUT} if spec.output.activation == "softmax" else set()
    return LearnedRanges(found, tuple(name for name in taps.names if name not in found and name not in in_float))


def _of_pixels(spec: ModelSpec, pixels: NDArray[np.uint8]) -> Iterator[_Trace]:
    """The input, and what the core makes of it before its source begins."""
    raw = pixels.astype(np.float32)
    mean, std = (np.array(values, np.float32) for values in (spec.preprocess.mean, spec.preprocess.std))
    for values, ends in (
        (raw, np.array([0, 255])),
        (raw / std, np.array([[0], [255]]) / std),
        ((raw - mean) / std, (np.array([[0], [255]]) - mean) / std),
    ):
        yield _Trace(_sorted(values), (min(0.0, float(ends.min())), max(0.0, float(ends.max()))))


def _read(path: Path) -> Iterator[_Trace]:
    with np.load(path, allow_pickle=False) as stored:
        for number, (low, high) in enumerate(stored["ranges"].tolist()):
            yield _Trace(_sorted(stored[str(number)]), (low, high))


def _sorted(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sort(values.reshape(len(values), -1), axis=1)


def _distance(expected: NDArray[np.float32], values: NDArray[np.float32]) -> float:
    """The largest difference, as a share of the largest value."""
    return float(np.abs(values - expected).max()) / max(1e-6, float(np.abs(expected).max()))
