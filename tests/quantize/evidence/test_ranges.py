"""What single images do to ranges, and how many images it takes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.quantize.evidence import ranges
from edgekit.quantize.evidence.ranges import Extremes
from edgekit.quantize.observe import Observed, Statistics


def extremes(images: int, tensors: int = 6, seed: int = 0) -> Extremes:
    """Of activations with tails as networks have them."""
    rng = np.random.default_rng(seed)
    high = 5 + rng.gumbel(0, 0.3, (images, tensors))
    return Extremes(tuple(f"layer{number}" for number in range(tensors)), -0.5 * high[:, ::-1], high)


def stretched(places: dict[tuple[int, int], float]) -> Extremes:
    made = extremes(60)
    for place, value in places.items():
        made.high[place] = value
    return made


def test_only_tensors_that_move_have_a_range() -> None:
    def seen(low: list[float], high: list[float]) -> Observed:
        return Observed(np.array(low, np.float32), np.array(high, np.float32), np.zeros(1, np.float32), None)

    statistics = Statistics({"a": seen([0, 1], [2, 3]), "still": seen([1, 1], [1, 1]), "b": seen([0, 0], [1, 2])})
    made = Extremes.of(statistics)
    assert made.names == ("a", "b")
    assert (made.low.tolist(), made.high.tolist()) == ([[0, 0], [1, 0]], [[2, 1], [3, 2]])
    assert Extremes.of(statistics, ["still"]).names == ("still",)


def test_ranges_with_and_without() -> None:
    made = stretched({(7, 2): 40.0})
    first, *others = ranges.compared(made, [7])
    rest = np.delete(made.high[:, 2], 7).max()
    assert (first.tensor, first.range[1], first.without[1]) == ("layer2", 40.0, rest)
    assert first.widening == pytest.approx((40 - first.range[0]) / (rest - first.range[0]))
    assert all(other.widening < 1.6 for other in others)


def test_good_sets_have_no_outlier() -> None:
    assert not any(ranges.outliers(extremes(30 + seed, seed=seed)) for seed in range(100))


def test_an_outlier_is_named_with_its_layers() -> None:
    [found] = ranges.outliers(stretched({(7, 2): 60.0, (7, 4): 40.0}))
    assert found.positions == (7,)
    assert [layer.tensor for layer in found.layers] == ["layer2", "layer4"]
    assert found.layers[0].widening > found.layers[1].widening > 2


def test_outliers_that_hide_each_other() -> None:
    [found] = ranges.outliers(stretched({(7, 2): 60.0, (21, 2): 59.0}))
    assert found.positions == (7, 21)
    assert ranges.outliers(stretched({(image, 2): 60.0 for image in range(4)})) == []  # 4 of 60 are no exception


def test_a_range_of_which_nothing_is_left() -> None:
    made = extremes(20)
    made.low[:, 0] = made.high[:, 0] = 0
    made.high[3, 0] = 1
    [found] = ranges.outliers(made)
    assert found.layers[0].widening == ranges.WIDEST


def test_narrower_is_the_mean_over_all_orders() -> None:
    made = extremes(6, 3)
    found = ranges.settling(made)
    width = made.high.max(0) - made.low.min(0)

    def lost(chosen: tuple[int, ...]) -> NDArray[np.floating]:
        part = list(chosen)
        return np.asarray(1 - (made.high[part].max(0) - made.low[part].min(0)) / width)

    for count, narrower, worst in zip(found.counts, found.narrower, found.worst, strict=True):
        every = np.mean([lost(chosen) for chosen in itertools.combinations(range(6), count)], 0)
        assert [narrower, worst] == pytest.approx([every.mean(), every.max()])


def test_what_is_enough_does_not_depend_on_how_many_there_are() -> None:
    found = [ranges.settling(extremes(images, 20)).enough for images in (100, 200, 400)]
    assert all(found)
    assert max(filter(None, found)) < 2 * min(filter(None, found))
    assert ranges.settling(extremes(12, 20)).enough is None


def test_the_others_leave_less_and_less() -> None:
    found = ranges.settling(extremes(200))
    assert found.counts[-1] == 200
    assert len(found.leave) == len(found.counts) - 1
    assert found.leave[0] > 0.3 > 0.05 > found.leave[-1]
    assert found.enough in found.counts
    assert found.leave[found.counts.index(found.enough or 0)] <= 0.05


def test_few_images_and_nothing_to_look_at() -> None:
    for images in (1, 2, 3, 9):
        assert ranges.settling(extremes(images)).enough is None
    nothing = Extremes((), np.zeros((40, 0)), np.zeros((40, 0)))
    assert ranges.outliers(nothing) == []
    assert ranges.settling(nothing).narrower[-1] == 0
