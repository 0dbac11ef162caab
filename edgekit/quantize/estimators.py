"""The range of an activation, from what it did on real images.

- minmax: all that was seen. Jacob et al. 2018, arXiv:1712.05877.
- percentile: without the outermost PERCENTILE at either end. Wu et al. 2020, arXiv:2004.09602, section 3.2.
- mse: the range that makes the mean square error of quantized values least. Nagel et al. 2021, arXiv:2106.08295,
  section 3.1.
- entropy: the range that keeps most of the distribution's information, by the divergence of Kullback and Leibler.
  Migacz 2017, "8-bit inference with TensorRT", as ONNX Runtime has it: the range is symmetric about 0 where values
  have both signs, and is then cut to what was seen. Zeros count no more than their neighbours, as in NVIDIA's
  pytorch-quantization.

Every range contains 0, which TFLite and ONNX must represent exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.quantize.observe import Observed, Statistics

Range = tuple[float, float]
Ranges = dict[str, Range]

PERCENTILE = 1e-4  # of the values, at either end
STEPS = 64  # of each end's way to 0 that mse tries
ROUNDS = 4  # after which neither end moves, nearly always
STRIDE = 8  # bins between the ranges that entropy tries
FAR = 4  # times the width of the histogram: values further from 0 are left as they are

_Values = NDArray[np.float64]


def estimate(statistics: Statistics, method: str, bits: int = 8) -> Ranges:
    """The range of every activation.

    Args:
        statistics: with histograms, but for minmax.
        method: minmax, percentile, mse or entropy.
        bits: of a quantized activation, 8 or 16.
    """
    return {name: _estimate(one, method, 2**bits) for name, one in statistics.tensors.items()}


def _estimate(seen: Observed, method: str, levels: int) -> Range:
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    if method == "minmax" or seen.high <= seen.low:
        return low, high
    assert seen.counts is not None
    values, counts = seen.values, seen.counts.astype(np.float64)
    if method == "percentile":
        low, high = _percentile(values, counts)
    elif method == "mse":
        low, high = _mse(values, counts, low, high, levels)
    else:
        low, high = _entropy(values, counts, low, high, levels)
    return min(low, 0.0), max(high, 0.0)


def _percentile(values: _Values, counts: _Values) -> Range:
    below = np.cumsum(counts) / counts.sum()
    above = np.cumsum(counts[::-1]) / counts.sum()
    return (
        float(values[np.searchsorted(below, PERCENTILE, "right")]),
        float(values[::-1][np.searchsorted(above, PERCENTILE, "right")]),
    )


def _mse(values: _Values, counts: _Values, low: float, high: float, levels: int) -> Range:
    """One end after the other is moved to where the error is least, until neither moves."""
    fractions = np.arange(STEPS, 0, -1) / STEPS
    lows, highs = low * fractions, high * fractions
    best = (low, high)
    for _ in range(ROUNDS):
        before = best
        if high > 0:
            errors = [square_error(values, counts, best[0], float(end), levels) for end in highs]
            best = (best[0], float(highs[int(np.argmin(errors))]))
        if low < 0:
            errors = [square_error(values, counts, float(end), best[1], levels) for end in lows]
            best = (float(lows[int(np.argmin(errors))]), best[1])
        if best == before:
            break
    return best


def square_error(values: _Values, counts: _Values, low: float, high: float, levels: int) -> float:
    """The mean square error of values, so many of each, quantized to evenly spaced levels of which one is 0.

    Where levels lie closer than values are known, the error of rounding is that of evenly spread values: step²/12.
    """
    step = (high - low) / (levels - 1)
    zero_point = round(-low / step)
    codes = np.clip(np.round(values / step) + zero_point, 0, levels - 1)
    errors = ((codes - zero_point) * step - values) ** 2
    if len(values) > 1 and values[1] - values[0] > step:
        errors = np.where((values < low) | (values > high), errors, step**2 / 12)
    return float(errors @ counts / counts.sum())


def _entropy(values: _Values, counts: _Values, low: float, high: float, levels: int) -> Range:
    both = low < 0 < high
    levels = levels // 2 if both else levels
    width = (values[-1] - values[0]) / (len(values) - 1)
    if max(abs(low), abs(high)) > FAR * (values[-1] - values[0]):
        return low, high  # next to no levels lie within what was seen, wherever it is cut
    places = np.round(np.abs(values) / width).astype(np.int64)
    histogram = np.bincount(places, counts).astype(np.float64)
    if len(histogram) < levels:
        return low, high
    histogram[0] = min(histogram[0], histogram[1])  # a ReLU's zeros lose nothing, and would outweigh all others
    first = int(np.argmax(histogram > 0))  # of values that stay away from 0, a cut must leave more than the outermost
    sizes = [size for size in range(levels, len(histogram), STRIDE) if size >= first + levels] + [len(histogram)]
    divergences = [_divergence(histogram, size, levels) for size in sizes]
    limit = (sizes[int(np.argmin(divergences))] - 1) * width
    return max(low, -limit), min(high, limit)


def _divergence(histogram: _Values, size: int, levels: int) -> float:
    """From the histogram, cut to a size with the rest in its last bin, to that of its quantized values."""
    sliced, reference = histogram[:size], histogram[:size].copy()
    reference[-1] += histogram[size:].sum()
    used = reference > 0
    edges = np.arange(levels) * size // levels
    filled = np.maximum(np.add.reduceat(used.astype(np.float64), edges), 1)
    spread = np.repeat(np.add.reduceat(sliced, edges) / filled, np.diff([*edges, size]))[used]
    if not spread.sum():
        return float("inf")
    p, q = reference[used] / reference.sum(), spread / spread.sum()
    return float(np.sum(p * np.log(p / np.maximum(q, 1e-12))))
