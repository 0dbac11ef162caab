"""The figures of a layer, against numbers that are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.validate.layer_advice import advise
from edgekit.validate.layer_drift import LIMIT_DB, Accumulator, WeightRanges, decibels, weight_ranges
from edgekit.validate.layer_files import Held, Weight

VALUES = np.random.default_rng(0).uniform(-1, 1, (1, 20, 20, 4)).astype(np.float32)


def rounded(values: NDArray[np.float32], held: Held) -> NDArray[np.float32]:
    steps = np.clip(np.rint(values / held.step), round(held.low / held.step), round(held.high / held.step))
    return np.asarray(steps * held.step, np.float32)


def test_decibels() -> None:
    assert decibels(100.0, 1.0) == 20.0
    assert decibels(1.0, 0.0) is None
    assert decibels(0.0, 0.0) is None
    assert decibels(0.0, 1.0) == -LIMIT_DB


def test_rounding_to_eight_bits() -> None:
    held = Held(-1.0, 1.0, 1 / 128)
    sums = Accumulator(3, 4, None, held)
    sums.add(VALUES, rounded(VALUES, held), VALUES)
    # uniform values of power 1/3, noise of power step²/12
    assert sums.own_sqnr() == pytest.approx(10 * np.log10(4 * 128**2), abs=0.3)
    assert sums.own_sqnr() == pytest.approx(sums.sqnr())
    parts = sums.parts()
    assert parts is not None
    assert parts.rounding == pytest.approx(1, abs=0.05)
    assert parts.clipping < 0.01
    assert parts.shift < 0.01


def test_clipping() -> None:
    held = Held(-0.5, 0.5, 1 / 256)
    sums = Accumulator(3, 4, None, held)
    sums.add(VALUES, rounded(VALUES, held), VALUES)
    parts, ranges = sums.parts(), sums.ranges()
    assert parts is not None
    assert parts.clipping > 0.99
    assert ranges.clipped == pytest.approx(0.5, abs=0.05)
    assert (ranges.low, ranges.high) == (VALUES.min(), VALUES.max())
    assert ranges.used == 1


def test_what_came_with_the_input_is_not_its_own_noise() -> None:
    sums = Accumulator(3, 4, None, None)
    sums.add(VALUES, VALUES * np.float32(0.5), VALUES * np.float32(0.5))
    assert sums.sqnr() == pytest.approx(6.02, abs=0.01)
    assert sums.own_sqnr() is None
    assert sums.parts() is None
    assert sums.cosine() == pytest.approx(1)


def test_a_shift() -> None:
    sums = Accumulator(3, 4, None, None)
    sums.add(VALUES, VALUES + np.array([0.1, 0, 0, -0.1], np.float32), VALUES)
    parts = sums.parts()
    assert parts is not None
    assert parts.shift == pytest.approx(1, abs=1e-3)


def test_channels_count_as_the_next_layer_reads_them() -> None:
    channels = np.array([1, 1, 1, 1e-3], np.float32)
    noise = np.array([0, 0, 0, 1e-3], np.float32) * VALUES
    plain = Accumulator(3, 4, None, None)
    weighed = Accumulator(3, 4, np.array([1, 1, 1, 1e6]), None)
    for sums in (plain, weighed):
        sums.add(VALUES * channels, VALUES * channels + noise, VALUES * channels)
    assert (plain.own_sqnr() or 0) > 60
    assert weighed.own_sqnr() == pytest.approx(10 * np.log10(4), abs=0.5)  # one of four channels is all noise


def test_channels_of_nchw() -> None:
    sums = Accumulator(1, 4, None, None)
    turned = VALUES.transpose(0, 3, 1, 2)
    sums.add(turned, turned + np.array([1, 0, 0, 0], np.float32)[:, None, None], turned)
    assert sums.own_noise.tolist() == [400, 0, 0, 0]


def test_outliers_stretch_a_range() -> None:
    values = np.tile(VALUES, (1, 3, 3, 1))
    values[0, 0, 0, 0] = 100
    held = Held(-100.0, 100.0, 200 / 255)
    sums = Accumulator(3, 4, None, held)
    for _ in range(4):
        sums.add(values, rounded(values, held), values)
    ranges = sums.ranges()
    assert ranges.used == pytest.approx(0.505, abs=0.01)
    assert ranges.central_high < 1.01
    [first, *_] = advise(sums.parts(), ranges, None)
    assert first.startswith("range stretched by few outliers: 99.9 % of its values lie from -")
    assert "percentile" in first


WEIGHTS = np.ones((4, 1, 1, 8), np.float32) * np.array([1, 1, 1e-3, 1e-3], np.float32)[:, None, None, None]


def test_weight_ranges() -> None:
    scales = np.array([1 / 127])
    found = weight_ranges(Weight("w", WEIGHTS, 0, 3, None, 32), Weight("w", None, 0, 3, scales, 8))
    assert found is not None
    assert (found.bits, found.per_channel, found.outputs, found.inputs) == (8, False, 4, 8)
    assert found.ratio == pytest.approx(1000)
    assert found.input_ratio == 1
    assert (found.coarse_outputs, found.coarse_inputs) == (2, 0)
    assert (found.smallest, found.largest) == pytest.approx((1e-3, 1))


def test_depthwise_weights_have_no_input_channels() -> None:
    found = weight_ranges(Weight("w", WEIGHTS.transpose(3, 1, 2, 0), 3, None, None, 32), None)
    assert found is not None
    assert (found.outputs, found.inputs, found.per_channel, found.bits) == (4, 0, None, None)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (WeightRanges(8, False, 64, 64, 0.01, 4, 400, 2, 40, 0), "one scale for all its weights"),
        (WeightRanges(8, True, 64, 64, 1, 4, 4, 900, 0, 30), "the weights of its input channels differ by ×900"),
        (WeightRanges(4, True, 64, 64, 1, 4, 4, 2, 64, 64), "its weights have 4 bits"),
        (WeightRanges(8, True, 64, 64, 1, 4, 4, 2, 0, 0), "keep it"),
    ],
)  # fmt: skip
def test_noise_of_weights(weights: WeightRanges, expected: str) -> None:
    sums = Accumulator(3, 4, None, None)
    sums.add(VALUES, VALUES + 0.1 * VALUES[:, ::-1], VALUES)
    assert advise(sums.parts(), sums.ranges(), weights)[0].startswith(expected)
