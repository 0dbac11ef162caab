"""Whether the images cover the classes of the model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edgekit.quantize.evidence.finding import WARNING, Finding, listed
from edgekit.runtime.spec import printable

UNLIKELY = 0.01
UNEVEN = 10  # times as many images of one class as of another


def examine(truth: NDArray[np.integer], labels: Sequence[str]) -> Iterator[Finding]:
    """What is missing.

    A class is missing for a reason where chance would rarely leave out so many: of L classes and N images drawn evenly,
    about L·(1 − 1/L)^N are left out, and their number is nearly Poisson's. Uneven are classes of which one is so small.

    Args:
        truth: the class of each image, an index into the model's `labels`.
    """
    counts = np.bincount(truth, minlength=len(labels))
    missing = [printable(label) for label, count in zip(labels, counts, strict=True) if not count]
    expected = len(labels) * (1 - 1 / len(labels)) ** len(truth)
    if missing and _at_least(len(missing), expected) < UNLIKELY:
        yield Finding(
            "classes",
            WARNING,
            f"{len(missing)} of {len(labels)} classes have no image: {listed(missing, 5)}.",
            "Add images of every class.",
        )
    present = counts[counts > 0]
    if (
        len(present) > 1
        and present.max() >= UNEVEN * present.min()
        and 1 - _at_least(int(present.min()) + 1, len(truth) / len(present)) < UNLIKELY / len(present)
    ):
        fewest = int(np.where(counts > 0, counts, len(truth) + 1).argmin())
        most = int(counts.argmax())
        yield Finding(
            "classes",
            WARNING,
            f"The classes are uneven: {counts[most]} images of {printable(labels[most])}, "
            f"{counts[fewest]} of {printable(labels[fewest])}.",
            "Add images of the small classes.",
        )


def _at_least(count: int, mean: float) -> float:
    """The probability that a Poisson variable is `count` or more."""
    if mean <= 0:
        return float(count == 0)
    return 1 - sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count))
