"""Images that occur more than once: identical files, and images that are practically the same.

Two images count as the same when thumbnails of 8×8 gray values differ by 2 levels (root mean square) or less, and by
10 % of the thumbnail's own deviation: JPEG files of one photo at qualities 95 and 40 differ by less than 1. The two
most alike of 467 different photos differ by 15, of 1,797 digits by 5.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgekit.data.dataset import Dataset
from edgekit.quantize.evidence.finding import NOTE, REFUSAL, WARNING, Finding, listed
from edgekit.quantize.evidence.values import LIKE_THE_DEVICES

SIDE = 8
ALIKE = 2.0
ALIKE_OF_DEVIATION = 0.1
MANY = 0.1  # share of the images
BLOCK = 1024


def examine(pixels: NDArray[np.uint8], names: list[str], data: Dataset, source: str) -> Iterator[Finding]:
    """What occurs more than once.

    Args:
        pixels: of the images that were chosen, all of them different files; uint8 [N, height, width, channels].
        names: theirs.
        data: what they were chosen from.
        source: how to call it.
    """
    groups = alike(pixels)
    copies = len(data) - len({data.content_sha256(index) for index in range(len(data))})
    if len(groups) == 1 and _same(pixels):
        yield Finding(
            "one image",
            REFUSAL,
            f"{source} cannot calibrate a model: it holds one image only, or the same one over and over.",
            LIKE_THE_DEVICES,
        )
        return
    if copies:
        yield Finding(
            "copies",
            NOTE,
            f"{copies} of {len(data)} images {'is a copy of another one' if copies == 1 else 'are copies of others'}, "
            "and left out.",
        )
    extra = tuple(position for group in groups for position in group[1:])
    if len(extra) > MANY * len(names):
        yield Finding(
            "copies",
            WARNING,
            f"{len(extra)} of {len(names)} images are practically the same as others: "
            f"{listed([f'{names[group[1]]} as {names[group[0]]}' for group in groups if len(group) > 1], 2)}.",
            "Take images of different scenes.",
            images=tuple(names[position] for position in extra),
            positions=extra,
        )


def alike(pixels: NDArray[np.uint8]) -> list[list[int]]:
    """The positions of the images, [N, height, width, channels], grouped by which are practically the same."""
    small = np.stack([_thumbnail(image) for image in pixels])
    limits = np.minimum(ALIKE, ALIKE_OF_DEVIATION * small.std(1)) ** 2 * small.shape[1]
    squares = np.square(small).sum(1)
    first = np.arange(len(small))  # of its group
    for start in range(0, len(small), BLOCK):
        block = slice(start, start + BLOCK)
        distances = squares[block, None] + squares[None, :] - 2 * small[block] @ small.T
        for row, column in zip(*np.nonzero(distances <= limits[block, None]), strict=True):
            here, there = first[start + row], first[column]
            if here != there:
                first[first == max(here, there)] = min(here, there)
    groups: dict[int, list[int]] = {}
    for position, group in enumerate(first.tolist()):
        groups.setdefault(group, []).append(position)
    return list(groups.values())


def _same(pixels: NDArray[np.uint8]) -> bool:
    """Whether they are one image in each pixel, too: a camera that never moves gives thumbnails that are alike."""
    first = pixels[0].astype(np.float32)
    return all(float(np.square(image - first).mean()) <= ALIKE**2 for image in pixels)


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The mean of the channels in each of 8×8 parts, [64] (fewer where the image has fewer pixels)."""
    height, width, channels = image.shape
    rows, columns = (np.unique(np.arange(SIDE) * side // SIDE) for side in (height, width))
    sums = np.add.reduceat(image.reshape(height, -1), columns * channels, axis=1, dtype=np.uint32)
    sums = np.add.reduceat(sums, rows, axis=0)
    areas = np.diff(np.append(rows, height))[:, None] * np.diff(np.append(columns, width)) * channels
    return np.asarray(sums / areas, np.float64).ravel()
