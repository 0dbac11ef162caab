"""What scores are worth: how often a model that says 90 % is right, and the temperature and threshold that mend it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10
COLDEST, HOTTEST = 0.01, 100.0  # temperatures
_GOLDEN = (math.sqrt(5) - 1) / 2
_STEPS = 60


@dataclass(frozen=True)
class Bin:
    """The images whose best score lies in [`low`, `high`): how many, their mean best score, and the share right."""

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram, and its expected calibration error (Guo et al. 2017, arXiv:1706.04599), in 0..1."""

    bins: tuple[Bin, ...]
    error: float


def reliability(scores: NDArray[np.float32], truth: NDArray[np.integer]) -> Reliability:
    """How far the best scores, of float32 [N, labels], are from the share of right answers; bins without images are
    left out."""
    best, right = scores.max(1).astype(np.float64), scores.argmax(1) == truth
    place = np.minimum((best * BINS).astype(int), BINS - 1)
    bins = []
    for number in range(BINS):
        of_bin = place == number
        if of_bin.any():
            bins.append(
                Bin(number / BINS, (number + 1) / BINS, int(of_bin.sum()), float(best[of_bin].mean()),
                    float(right[of_bin].mean()))
            )
    gaps = sum(each.images * abs(each.confidence - each.accuracy) for each in bins)
    return Reliability(tuple(bins), gaps / max(1, len(scores)))


def loss(logits: NDArray[np.floating], truth: NDArray[np.integer], temperature: float = 1.0, doubt: float = 0) -> float:
    """The mean cross entropy of softmax(logits / temperature), logits [N, labels].

    `doubt` is a probability that is taken from the right label and spread over the others.
    """
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(1, keepdims=True)
    missing = np.log(np.exp(scaled).sum(1, keepdims=True)) - scaled
    right = missing[np.arange(len(truth)), truth]
    others = (missing.sum(1) - right) / max(1, logits.shape[1] - 1)
    return float(np.mean((1 - doubt) * right + doubt * others))


def temperature(logits: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """The temperature with the least cross entropy on held-out logits [N, labels], by golden-section search.

    The loss is convex in 1/temperature, so it has one minimum (Guo et al. 2017, section 4.2). Logits that are right
    without exception would be sharpened without end; so a right label counts as probable by (N + 1)/(N + 2) only, as
    Platt has it (1999, "Probabilistic outputs for support vector machines", section 2.2).
    """
    if not len(truth):
        return 1.0
    doubt = 1 / (len(truth) + 2)
    low, high = math.log(COLDEST), math.log(HOTTEST)
    for _ in range(_STEPS):
        inner = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if loss(logits, truth, math.exp(inner[0]), doubt) < loss(logits, truth, math.exp(inner[1]), doubt):
            high = inner[1]
        else:
            low = inner[0]
    return round(math.exp((low + high) / 2), 4)


def threshold(scores: NDArray[np.float32], truth: NDArray[np.integer], precision: float) -> float | None:
    """The lowest best score from which on at least this share (0..1) of the answers is right; None where there is none.

    It is the score of one of the images: an answer less certain than all that were seen is below it, even where every
    one of them was right.
    """
    best = scores.max(1)
    order = np.argsort(-best, kind="stable")
    right = np.cumsum((scores.argmax(1) == truth)[order])
    share = right / np.arange(1, len(order) + 1)
    # Equal scores are sure together or not at all.
    ends = np.append(best[order][1:] != best[order][:-1], True) if len(order) else np.zeros(0, bool)
    enough = np.flatnonzero((share >= precision) & ends)
    return float(best[order][enough[-1]]) if len(enough) else None
