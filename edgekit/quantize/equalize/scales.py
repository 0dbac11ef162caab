"""The scales of cross-layer equalization.

Nagel et al. (2019, arXiv:1906.04721, section 4.1) divide output channel i of the first layer of a pair by
s_i = sqrt(r1_i · r2_i) / r2_i and multiply the weights that read it, where r1 and r2 are the ranges of both layers'
weights; over chains of layers this is repeated until it settles. They quantize a layer's weights with one scale.
edgekit's quantizers give each output channel its own, so the first layer's weights do not mind. What does have one
scale is the activation between the two, and each filter over the input channels that it reads: r1 is therefore the
range of the activation, as in Xiao et al. (2023, arXiv:2211.10438). Where a depthwise layer reads it, each filter has
one channel and its own scale; the activation alone counts, and all its channels are given one range. Measured on a CNN
with channels scaled by 2^-6 to 2^6, in int8 (Hellinger² of the probabilities, 0.7 before): 1e-5 either way in
`.tflite`; in `.onnx` 8e-4 with the weights' ranges and 3e-5 with the activations'.

Scales are powers of two: multiplying by them is exact, so that a float model answers the same bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.quantize.network import Channels

Real = NDArray[np.float64]

FLOOR = 2.0**-24  # of the largest range: what is below it is lost in a sum of float32 anyway
ROOM = 2.0  # how far below a clip that stays a channel is kept, since images that were not seen reach further
SETTLED = 1e-3  # of log2
MAX_ROUNDS = 100


@dataclass
class Layer:
    """The weights of an operator, as far as ranges need them.

    Attributes:
        kernels: the largest magnitude of each, [outputs, inputs of a group]; scaled by `solve`.
        inputs: the input channel that each reads, in the same shape.
    """

    kernels: Real
    inputs: Channels

    @classmethod
    def of(cls, weights: NDArray[np.float32], groups: int) -> Layer:
        """From weights [outputs, inputs of a group, kernel…]."""
        outputs, width = weights.shape[:2]
        group = np.arange(outputs) // (outputs // groups)
        kernels = np.abs(weights.reshape(outputs, width, -1)).max(2).astype(np.float64)
        return cls(kernels, group[:, None] * width + np.arange(width))

    @property
    def depthwise(self) -> bool:
        """Whether each filter reads one channel only."""
        return int(self.kernels.shape[1]) == 1

    def by_channel(self, channels: Channels, count: int) -> Real:
        """The largest weight that reads each of `count` output channels of the layer before."""
        result = np.zeros(count)
        if self.kernels.shape[1] == len(channels):  # each output reads all of them
            np.maximum.at(result, channels, self.kernels.max(0))
        else:
            np.maximum.at(result, channels[self.inputs], self.kernels)
        return result


@dataclass
class Joint:
    """What two layers share: channels of one activation.

    Attributes:
        first: the layer that writes it.
        second: the layer that reads it.
        channels: for each input channel of the second, the output channel of the first.
        ranges: of the activation, by output channel of the first.
        reach: what share of the clip the greatest value came up to, by channel, 1 where it was clipped; None where
            nothing clips, or the clip can go.
    """

    first: Layer
    second: Layer
    channels: Channels
    ranges: Real
    reach: Real | None


def solve(joints: list[Joint]) -> list[NDArray[np.float32]]:
    """For each joint, what the output channels of its first layer are divided by: powers of two, float32 [outputs]."""
    logs = [np.zeros(len(joint.ranges)) for joint in joints]
    for _ in range(MAX_ROUNDS):
        change = 0.0
        for joint, log in zip(joints, logs, strict=True):
            step = _wanted(joint, log) - log
            log += step
            factor = np.exp2(step)
            joint.first.kernels /= factor[:, None]
            joint.second.kernels *= factor[joint.channels[joint.second.inputs]]
            change = max(change, float(np.abs(step).max(initial=0)))
        if change < SETTLED:
            break
    return [_powers_of_two(log) for log in logs]


def _powers_of_two(log: Real) -> NDArray[np.float32]:
    """The nearest ones; all 1 where they would differ by no more than rounding makes them."""
    rounded = np.round(log)
    return np.exp2(rounded if np.ptp(rounded) > 1 else np.zeros_like(log)).astype(np.float32)


def _wanted(joint: Joint, scaled: Real) -> Real:
    """The scales for one joint, all others as they are, as logarithms to base 2; `scaled` are those it has now."""
    ranges = joint.ranges
    reading = joint.second.by_channel(joint.channels, len(ranges)) / np.exp2(scaled)
    alive = (ranges > FLOOR * ranges.max()) & (reading > FLOOR * reading.max())
    log = np.zeros(len(ranges))
    if joint.second.depthwise:
        log[alive] = np.log2(ranges[alive])
    else:
        log[alive] = np.log2(ranges[alive] / reading[alive]) / 2
    fixed = np.zeros(len(ranges), bool) if joint.reach is None else joint.reach >= 1
    level = alive & fixed if (alive & fixed).any() else alive
    if level.any():  # what all channels have in common changes nothing, but where some cannot move
        log[alive] -= log[level].mean()
    log[fixed] = 0
    if joint.reach is not None:
        log = np.maximum(log, np.minimum(0, np.log2(np.maximum(ROOM * joint.reach, FLOOR))))
    return log
