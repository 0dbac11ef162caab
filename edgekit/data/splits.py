"""Splits that depend on the images' contents and a seed, not on file names or the order of a listing.

Images with identical bytes form one group, and a group is never torn apart: a copy of a training image
in the test set would be tested by memory. Each group belongs to one class, and classes are split one by
one (stratification). Without labels there is one class of all images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgekit.core.errors import DataError
from edgekit.data.dataset import Dataset
from edgekit.runtime.spec import printable

Group = list[int]  # indices of images with identical bytes


def stratified_split(dataset: Dataset, fractions: Sequence[float], seed: int) -> list[list[int]]:
    """Split into as many parts as there are fractions: disjoint, sorted lists of indices.

    The fractions count distinct images (groups), class by class, by the largest remainder. Of each class,
    every part with a fraction above 0 gets at least one where there are enough, the earlier parts first.

    Raises:
        DataError: the fractions are negative or do not sum to 1.
        ImageError: an image cannot be read.
    """
    if not all(fraction >= 0 for fraction in fractions) or not math.isclose(sum(fractions), 1, abs_tol=1e-6):
        raise DataError(f"The fractions of a split must sum to 1: {', '.join(f'{value:g}' for value in fractions)}.")
    parts: list[list[int]] = [[] for _ in fractions]
    for groups in _shuffled_groups(dataset, seed):
        start = 0
        for part, count in zip(parts, _shares(len(groups), fractions), strict=True):
            for group in groups[start : start + count]:
                part.extend(group)
            start += count
    return [sorted(part) for part in parts]


def folds(dataset: Dataset, count: int, seed: int) -> list[list[int]]:
    """Split into `count` parts of nearly equal size, for cross-validation: disjoint, sorted lists of indices.

    Raises:
        DataError: fewer than two folds, or fewer distinct images than folds.
        ImageError: an image cannot be read.
    """
    strata = _shuffled_groups(dataset, seed)
    distinct = sum(map(len, strata))
    if not 2 <= count <= distinct:
        raise DataError(f"{printable(str(dataset.source))} has {distinct} distinct images, "
                        f"which cannot make {count} folds.", "Cross-validation needs 2 folds or more.")
    parts: list[list[int]] = [[] for _ in range(count)]
    # Dealing goes on from class to class, or the first folds would get every class's odd image.
    for position, group in enumerate(group for groups in strata for group in groups):
        parts[position % count].extend(group)
    return [sorted(part) for part in parts]


def evenly(count: int, most: int) -> list[int]:
    """At most so many positions out of `count`, from the first to the last: folders list class after class."""
    positions = np.linspace(0, count - 1, min(count, most)).round().astype(int)
    return [int(position) for position in np.unique(positions)]


def stratified_sample(dataset: Dataset, count: int, seed: int) -> list[int]:
    """Sorted indices of at most `count` distinct images, as evenly over the classes as possible.

    Raises:
        DataError: the count is not positive.
        ImageError: an image cannot be read.
    """
    if count < 1:
        raise DataError(f"A sample of {count} images is empty.", "Ask for 1 or more.")
    strata = _shuffled_groups(dataset, seed)
    # The seed also decides which classes get one more, or which get one at all.
    order = np.random.default_rng(seed).permutation(len(strata)).tolist()
    chosen: list[int] = []
    for turn in range(max(map(len, strata), default=0)):
        chosen += [strata[stratum][turn][0] for stratum in order if turn < len(strata[stratum])]
        if len(chosen) >= count:
            break
    return sorted(chosen[:count])


def duplicates_across_classes(dataset: Dataset) -> list[tuple[str, ...]]:
    """The names of images with identical bytes in different classes, one tuple for each content.

    Raises:
        ImageError: an image cannot be read.
    """
    return [tuple(map(dataset.name, group)) for group in _groups(dataset).values()
            if len(set(map(dataset.label, group))) > 1]


def distinct_images(dataset: Dataset) -> list[int]:
    """How many different images each class has; one that lies in several classes counts for the first of them.

    Raises:
        ImageError: an image cannot be read.
    """
    counts = [0] * len(dataset.labels or ("",))
    for group in _groups(dataset).values():
        counts[min(dataset.label(index) or 0 for index in group)] += 1
    return counts


def _groups(dataset: Dataset) -> dict[str, Group]:
    groups: dict[str, Group] = {}
    for index in range(len(dataset)):
        groups.setdefault(dataset.content_sha256(index), []).append(index)
    return groups


def _shuffled_groups(dataset: Dataset, seed: int) -> list[list[Group]]:
    """The groups of each class, in an order that only the contents and the seed decide.

    A group with several classes counts as one of the first of them. Every class is shuffled by a generator
    of its own, so that a change in one class does not move the images of another.
    """
    strata: list[list[Group]] = [[] for _ in dataset.labels or ("",)]
    for _, group in sorted(_groups(dataset).items()):
        group.sort(key=lambda index: dataset.label(index) or 0)
        strata[dataset.label(group[0]) or 0].append(group)
    return [[groups[position] for position in np.random.default_rng(seed).permutation(len(groups))]
            for groups in strata]


def _shares(count: int, fractions: Sequence[float]) -> list[int]:
    """Divide `count` by the largest remainder; every positive fraction gets at least 1 where that is possible."""
    ideal = [fraction / sum(fractions) * count for fraction in fractions]
    shares = [math.floor(value) for value in ideal]
    by_remainder = sorted(range(len(ideal)), key=lambda part: shares[part] - ideal[part])
    for part in by_remainder[: count - sum(shares)]:
        shares[part] += 1
    positive = [part for part, fraction in enumerate(fractions) if fraction > 0]
    for part in positive[:count]:
        if shares[part] == 0:
            # The largest part gives; among equals the last, so that the first parts keep theirs.
            shares[max(positive, key=lambda giver: (shares[giver], giver))] -= 1
            shares[part] = 1
    return shares
