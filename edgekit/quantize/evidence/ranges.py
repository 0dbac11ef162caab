"""What single images do to the ranges of the layers, and how many images it takes until these settle.

Minimum and maximum grow with the logarithm of the number of images, and without end: by 3 % for twice as many. What
settles is how many unseen images leave the ranges by more than a tenth of their width. Measured on digits (a small CNN)
and photos (EfficientNet-Lite0): 19 and 32 % with 10 images, 5 and 9 % with 30, 3 and 4 % with 50, 1 % with 100, and the
same whether the set had 60 images or 400. The error of int8 on digits stopped falling at 10 to 20 images.

One image of a good set of 30 to 200 widened a layer's range 1.2 times (median of the worst layers), 1.55 times at most
(300 random sets each).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.quantize.evidence.finding import LayerRange
from edgekit.quantize.observe import Statistics

STRETCHED = 2.0  # times as wide: one bit
WIDEST = 1e6  # also where nothing is left of a range
OUTLIERS, MOST_OUTLIERS = 0.05, 20  # of the images can be outliers together
MIN_UNSEEN = 5
MIN_IMAGES = 10  # fewer say nothing about what is rare
LEAVES = 0.1  # of a range's width
FEW_LEAVE, MANY_LEAVE = 0.05, 0.25  # shares of the unseen images
ORDERS = 20
POINTS = 24  # numbers of images that are tried, besides the round ones
ROUND = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
MOST_UNSEEN = 500  # images for each order and number


@dataclass(frozen=True)
class Extremes:
    """The least and the largest value of every tensor in every image, float [N, tensors]."""

    names: tuple[str, ...]
    low: NDArray[np.floating]
    high: NDArray[np.floating]

    def without(self, positions: Sequence[int]) -> Extremes:
        """Of the other images."""
        kept = np.setdiff1d(np.arange(len(self.low)), positions)
        return Extremes(self.names, self.low[kept], self.high[kept])

    @classmethod
    def of(cls, statistics: Statistics, names: Iterable[str] | None = None) -> Extremes:
        """Of these tensors; without names, of those that are not the same whatever the images are."""
        varying = [name for name, one in statistics.tensors.items() if one.high > one.low]
        seen = {name: statistics.tensors[name] for name in (varying if names is None else names)}
        low, high = (np.array([getattr(one, end) for one in seen.values()], np.float64) for end in ("minima", "maxima"))
        images = len(next(iter(statistics.tensors.values())).minima)
        return cls(tuple(seen), low.reshape(-1, images).T, high.reshape(-1, images).T)


@dataclass(frozen=True)
class Outlier:
    """Images that stretch ranges together, and the layers, most widened first."""

    positions: tuple[int, ...]
    layers: tuple[LayerRange, ...]


@dataclass(frozen=True)
class Settling:
    """How ranges grow with the number of images.

    Attributes:
        counts: numbers of images.
        leave: the share of unseen images that leave a layer's range by more than a tenth of its width, for each
            count but the last, which is all images; in 20 random orders.
        narrower: how much narrower ranges are than with all images, as a share of their width: the mean over the
            layers and over all orders, for each count.
        worst: the same in the layer that is narrowed most.
        worst_layers: its name.
        enough: the least number of images with which 1 of 20 unseen ones leaves a range; None where all are too few.
    """

    counts: tuple[int, ...]
    leave: tuple[float, ...]
    narrower: tuple[float, ...]
    worst: tuple[float, ...]
    worst_layers: tuple[str, ...]
    enough: int | None


def compared(extremes: Extremes, left_out: Sequence[int]) -> tuple[LayerRange, ...]:
    """The ranges with and without some of the images, the most widened first."""
    rest = extremes.without(left_out)
    with_all = extremes.low.min(0), extremes.high.max(0)
    without = rest.low.min(0), rest.high.max(0)
    found = [
        LayerRange(
            name,
            (float(with_all[0][index]), float(with_all[1][index])),
            (float(without[0][index]), float(without[1][index])),
            _ratio(with_all[1][index] - with_all[0][index], without[1][index] - without[0][index]),
        )
        for index, name in enumerate(extremes.names)
    ]
    return tuple(sorted(found, key=lambda each: -each.widening))


def outliers(extremes: Extremes) -> list[Outlier]:
    """The images that stretch the range of a layer to twice its width or more, those with the widest first.

    Of each layer as few images are left out as narrow its range to half. What takes more than 5 % of the images, or
    more than 20, is no outlier.
    """
    images = len(extremes.low)
    if images < MIN_IMAGES:
        return []
    most = min(MOST_OUTLIERS, max(1, int(OUTLIERS * images)))
    together: dict[tuple[int, ...], set[str]] = {}
    ordered_low, ordered_high = np.sort(extremes.low, 0), np.sort(extremes.high, 0)
    widths = ordered_high[-1] - ordered_low[0]
    narrowest = ordered_high[-1 - most] - ordered_low[most]
    for index in np.flatnonzero(widths >= STRETCHED * np.maximum(narrowest, 0)):
        found = _stretching(extremes.low[:, index], extremes.high[:, index], most)
        if found:
            together.setdefault(found, set()).add(extremes.names[index])
    result = [
        Outlier(positions, tuple(each for each in compared(extremes, positions) if each.tensor in layers))
        for positions, layers in together.items()
    ]
    return sorted(result, key=lambda each: -each.layers[0].widening)


def settling(extremes: Extremes) -> Settling:
    """How ranges grow with the number of images.

    How much narrower they are with fewer images is exact, as a mean over all orders: the maximum of n of N values is
    the k-th largest with the probability that the k − 1 larger ones are left out and it is not.
    """
    images = len(extremes.low)
    most = images - max(1, images // 10, min(MIN_UNSEEN, images // 2))  # the others are unseen
    tried = {int(count) for count in np.geomspace(1, max(most, 1), POINTS).round()}
    counts = sorted(count for count in tried.union(ROUND) if count <= most)
    leave = _leaving(extremes, counts)
    few = [count for count, share in zip(counts, leave, strict=True) if share <= FEW_LEAVE]
    down, up = np.sort(extremes.high, 0)[::-1], np.sort(extremes.low, 0)
    lost = np.array(
        [
            1 - (weights @ down - weights @ up) / (down[0] - up[0])
            for weights in (_of_maximum(count, images) for count in [*counts, images])
        ]
    )
    worst = lost.argmax(1) if extremes.names else np.zeros(len(lost), int)
    return Settling(
        (*counts, images),
        tuple(leave),
        tuple(lost.mean(1).tolist()) if extremes.names else (0.0,) * len(lost),
        tuple(lost.max(1).tolist()) if extremes.names else (0.0,) * len(lost),
        tuple(extremes.names[index] for index in worst) if extremes.names else ("",) * len(lost),
        few[0] if few and images >= MIN_IMAGES else None,
    )


def _leaving(extremes: Extremes, counts: Sequence[int]) -> list[float]:
    rng = np.random.default_rng(0)
    shares = np.zeros((ORDERS, len(counts)))
    for order in range(ORDERS):
        shuffled = rng.permutation(len(extremes.low))
        low, high = extremes.low[shuffled], extremes.high[shuffled]
        lowest, highest = np.minimum.accumulate(low), np.maximum.accumulate(high)
        for place, count in enumerate(counts):
            margin = LEAVES * (highest[count - 1] - lowest[count - 1])
            unseen = slice(count, count + MOST_UNSEEN)
            leaves = (low[unseen] < lowest[count - 1] - margin) | (high[unseen] > highest[count - 1] + margin)
            shares[order, place] = leaves.any(1).mean()
    return [float(share) for share in shares.mean(0)]


def _of_maximum(count: int, images: int) -> NDArray[np.float64]:
    """The probability that the maximum of `count` of `images` values is the largest, the second largest, … [images]."""
    rank = np.arange(images)
    left = np.maximum(images - rank, 1)
    taken = np.minimum(count / left, 1.0)
    return np.asarray(taken * np.concatenate([[1.0], np.cumprod(1 - taken)[:-1]]), np.float64)


def _stretching(low: NDArray[np.floating], high: NDArray[np.floating], most: int) -> tuple[int, ...]:
    """The fewest images without which the range is narrow enough: some of the lowest and some of the highest."""
    lowest, highest = np.argsort(low, kind="stable"), np.argsort(-high, kind="stable")
    wide = float(high[highest[0]] - low[lowest[0]])
    for count in range(1, most + 1):
        narrow = [float(high[highest[count - below]] - low[lowest[below]]) for below in range(count + 1)]
        below = int(np.argmin(narrow))
        if wide >= STRETCHED * narrow[below]:
            return tuple(sorted({*lowest[:below].tolist(), *highest[: count - below].tolist()}))
    return ()


def _ratio(wide: float, narrow: float) -> float:
    return 1.0 if wide == narrow else min(WIDEST, float(wide) / max(float(narrow), 1e-30))
