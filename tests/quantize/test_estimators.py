"""Ranges of activations, against what is found by trying everything on the values themselves."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.quantize.estimators import PERCENTILE, STEPS, STRIDE, Range, estimate
from edgekit.quantize.observe import BINS, Observed, Statistics

RNG = np.random.default_rng(7)
MIXED = RNG.normal(0, 1, 20_000)
DISTRIBUTIONS = {
    "normal": MIXED,
    "one outlier": np.append(MIXED, 40.0),
    "long tails": RNG.laplace(0.5, 1, 20_000),
    "relu": np.maximum(MIXED - 0.3, 0),
    "relu6": np.clip(4 * MIXED, 0, 6),
    "negative": -np.abs(RNG.laplace(2, 1, 20_000)),
}


def observed(values: NDArray[np.float64]) -> Observed:
    low, high = values.min(), values.max()
    places = np.round((values - low) / (high - low) * (BINS - 1)) if high > low else np.zeros(len(values))
    counts = np.bincount(places.astype(int), minlength=BINS)
    ends = np.array([low], np.float32), np.array([high], np.float32)
    return Observed(*ends, np.array([values.mean()], np.float32), counts)


def ranged(values: NDArray[np.float64], method: str, bits: int = 8) -> Range:
    return estimate(Statistics({"x": observed(values)}), method, bits)["x"]


def square_error(values: NDArray[np.float64], low: float, high: float, levels: int = 256) -> float:
    """Of values that are really quantized, asymmetrically with an exact 0."""
    step = (high - low) / (levels - 1)
    zero = round(-low / step)
    codes = np.clip(np.round(values / step) + zero, 0, levels - 1)
    return float(np.mean(((codes - zero) * step - values) ** 2))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_minmax_is_all_that_was_seen_and_zero(name: str) -> None:
    values = DISTRIBUTIONS[name]
    assert ranged(values, "minmax") == pytest.approx((min(values.min(), 0), max(values.max(), 0)), rel=1e-6)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_percentile_leaves_the_outermost_values_out(name: str) -> None:
    values = DISTRIBUTIONS[name]
    width = np.ptp(values) / (BINS - 1)
    low, high = ranged(values, "percentile")
    expected = np.quantile(values, [PERCENTILE, 1 - PERCENTILE])
    assert low == pytest.approx(min(expected[0], 0), abs=width)
    assert high == pytest.approx(max(expected[1], 0), abs=width)
    assert np.mean(values < low - width) <= PERCENTILE
    assert np.mean(values > high + width) <= PERCENTILE


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_mse_finds_the_least_error_of_all_ranges(name: str) -> None:
    values = DISTRIBUTIONS[name]
    found = square_error(values, *ranged(values, "mse"))
    low, high = ranged(values, "minmax")
    tries = np.arange(4, STEPS + 1, 4) / STEPS
    lows, highs = (low * tries if low < 0 else [0.0]), (high * tries if high > 0 else [0.0])
    least = min(square_error(values, float(one), float(other)) for one in lows for other in highs)
    assert found <= 1.02 * least


@pytest.mark.parametrize(("law", "end", "published"), [("normal", 8.0, 3.92), ("laplace", 20.0, 9.89)])
def test_mse_clips_as_published(law: str, end: float, published: float) -> None:
    """Banner et al. 2019 (arXiv:1810.05723) give the best clipping of both laws at 8 bits."""
    places = np.linspace(-end, end, BINS)
    density = np.exp(-(places**2) / 2 if law == "normal" else -np.abs(places))
    ends = np.array([-end], np.float32), np.array([end], np.float32)
    one = Observed(*ends, np.zeros(1, np.float32), np.round(1e15 * density).astype(np.int64))
    low, high = estimate(Statistics({"x": one}), "mse")["x"]
    assert (-low, high) == pytest.approx((published, published), rel=0.05)


def test_mse_keeps_what_is_all_used() -> None:
    assert ranged(DISTRIBUTIONS["relu6"], "mse") == (0, 6)


def test_with_16_bits_nothing_is_gained_by_clipping() -> None:
    for name in ("normal", "relu6"):
        values = DISTRIBUTIONS[name]
        for method in ("mse", "entropy"):
            assert ranged(values, method, 16) == pytest.approx(ranged(values, "minmax"), rel=0.05)
    low, high = ranged(DISTRIBUTIONS["one outlier"], "mse", 16)
    outlier = DISTRIBUTIONS["one outlier"]
    assert square_error(outlier, low, high, 65536) <= square_error(outlier, *ranged(outlier, "minmax"), 65536)


def naive_entropy(values: NDArray[np.float64]) -> float:
    """The limit with the least divergence, value by value and bin by bin; the method of Migacz 2017."""
    both = values.min() < 0 < values.max()
    levels = 128 if both else 256
    lattice = observed(values)
    assert lattice.counts is not None
    width = np.ptp(lattice.values) / (BINS - 1)
    histogram: dict[int, float] = {}
    for value, count in zip(lattice.values, lattice.counts, strict=True):
        place = round(abs(value) / width)
        histogram[place] = histogram.get(place, 0) + count
    bins = [histogram.get(place, 0) for place in range(max(histogram) + 1)]
    bins[0] = min(bins[0], bins[1])
    best = (np.inf, 0.0)
    for size in [*range(levels, len(bins), STRIDE), len(bins)]:
        p = [*bins[: size - 1], sum(bins[size - 1 :])]
        q = [0.0] * size
        for level in range(levels):
            group = range(level * size // levels, (level + 1) * size // levels)
            filled = [place for place in group if p[place] > 0]
            for place in filled:
                q[place] = sum(bins[other] for other in group) / len(filled)
        all_p, all_q = sum(p), sum(q)
        divergence = sum(
            one / all_p * np.log((one / all_p) / max(other / all_q, 1e-12))
            for one, other in zip(p, q, strict=True)
            if one > 0
        )
        best = min(best, (divergence, (size - 1) * width))
    return best[1]


@pytest.mark.parametrize("name", ["one outlier", "long tails", "relu"])
def test_entropy_keeps_most_of_the_distribution(name: str) -> None:
    values = DISTRIBUTIONS[name][::8]
    if name == "one outlier":
        values = np.append(values, 40.0)
    limit = naive_entropy(values)
    low, high = ranged(values, "entropy")
    assert low == pytest.approx(max(min(values.min(), 0), -limit), rel=1e-6)
    assert high == pytest.approx(min(values.max(), limit), rel=1e-6)


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse", "entropy"])
def test_every_range_holds_zero_and_lies_in_what_was_seen(method: str) -> None:
    for values in DISTRIBUTIONS.values():
        low, high = ranged(values, method)
        assert min(values.min(), 0) - 1e-6 <= low <= 0 <= high <= max(values.max(), 0) + 1e-6
        assert low < high
    assert ranged(np.full(9, 3.0), method) == (0, 3)
    assert ranged(np.zeros(9), method) == (0, 0)


def test_entropy_keeps_values_that_stay_away_from_0() -> None:
    bell = RNG.normal(0, 1, 20_000)
    for low in np.linspace(0.1, 0.4, 31):
        values = low + (1 - low) * (bell - bell.min()) / np.ptp(bell)
        for sign in (1, -1):
            assert np.abs(ranged(sign * values, "entropy")).max() > 0.8
    assert ranged(np.append(1000 + bell / 100, [999.0, 1001.0]), "entropy") == (0, 1001)
    assert ranged(np.array([1 - 1e-7, 1 + 1e-7]), "entropy") == pytest.approx((0, 1))
