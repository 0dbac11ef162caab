"""What the channels between two layers do on real images: their ranges, and how near they come to a clip."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.quantize.equalize.links import Link, varying
from edgekit.quantize.equalize.scales import Real
from edgekit.quantize.network import Channels, Network
from edgekit.quantize.taps import open_taps

CLIPPED = 1 - 1e-6


@dataclass(frozen=True)
class Seen:
    """One link, on images; each array by output channel of its first layer.

    Attributes:
        ranges: the greatest magnitude in the activation that the second layer reads.
        reach: what share of the clip the greatest value came up to, 1 where it was clipped; None where nothing clips.
    """

    ranges: Real
    reach: Real | None


def look(
    core: Path, network: Network, links: Sequence[Link], tensors: Sequence[NDArray[np.float32]], held_out: int
) -> tuple[list[Seen], list[Seen]]:
    """What the links do on the images, [1, …] each, but for one in `held_out`; and what they do on all."""
    gauges: dict[str, list[_Gauge]] = defaultdict(list)
    for number, link in enumerate(links):
        gauges[link.entering].append(_Gauge(number, 0.0, link.numbers, link.count))
        for at, numbers in link.clips:
            operator = network.operators[at]
            gauges[operator.output].append(_Gauge(number, operator.clip, numbers, link.count))
    some, everything = _Greatest(links), _Greatest(links)
    taps = open_taps(core)

    def peaks(tensor: NDArray[np.float32]) -> list[tuple[_Gauge, Real]]:
        return [(gauge, gauge.read(values)) for name, values in taps.each(tensor) for gauge in gauges.get(name, ())]

    for index, tensor in enumerate(tensors):
        for found in peaks(tensor):
            everything.add(*found)
            if index % held_out != held_out - 1:
                some.add(*found)
    return some.seen, everything.seen


class _Gauge:
    """Reads the greatest magnitude of each channel of link `number` from an activation; `clip` is 0 without one."""

    def __init__(self, number: int, clip: float, numbers: Channels, count: int) -> None:
        self.number, self.clip, self._count, self._shape = number, clip, count, numbers.shape
        self._others = tuple(axis for axis in range(numbers.ndim) if axis not in varying(numbers))
        self._channels = numbers[tuple(0 if axis in self._others else slice(None) for axis in range(numbers.ndim))]

    def read(self, values: NDArray[np.float32]) -> Real:
        values = values.reshape(self._shape)
        greatest = np.maximum(values.max(self._others), -values.min(self._others))
        result = np.zeros(self._count)
        np.maximum.at(result, self._channels, greatest)
        return result


class _Greatest:
    def __init__(self, links: Sequence[Link]) -> None:
        self.seen = [Seen(np.zeros(link.count), np.zeros(link.count) if link.clips else None) for link in links]

    def add(self, gauge: _Gauge, peaks: Real) -> None:
        seen = self.seen[gauge.number]
        if not gauge.clip:
            np.maximum(seen.ranges, peaks, out=seen.ranges)
        elif seen.reach is not None:
            share = peaks / gauge.clip
            np.maximum(seen.reach, np.where(share >= CLIPPED, 1, share), out=seen.reach)
