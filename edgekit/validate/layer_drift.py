"""How far a candidate's activations are from its reference's, layer by layer: what is measured, and the figures.

A layer's *drift* is what has come together up to it. Its *own noise* is what it adds itself: its output against what
the float layer makes of the candidate's own inputs (`edgekit.quantize.isolate`). Both are signal-to-quantization-noise
ratios, 10·log10(signal power / noise power) in dB: at 20 dB the noise has 1 % of the signal's power.

In own noise a channel counts as much as the layer after it makes of it (`layer_files.channel_gains`): small channels
that large weights read are as important as large ones that small weights read.

A layer is *bad* when its own ratio is below `BAD_DB`. Measured: the int8 layers of trained networks that keep their
accuracy have 28 to 55 dB; layers whose channels were scaled by 2^-6 to 2^6 have 1 to 5 dB; one that is clipped at a
quarter of its range has 3 dB; and each bit that a range is too wide costs 6 dB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.validate.layer_files import Held, Weight

BAD_DB = 25.0
LIMIT_DB = 150.0  # float32 rounds at about this
COARSE = 8  # a channel that takes fewer steps than these on either side of zero has less than 4 bits
SAMPLED = 2048  # values of an activation that are kept from each image
CENTRAL = 0.999


@dataclass(frozen=True)
class WeightRanges:
    """The weights of a layer in float, by channel, and how the candidate holds them.

    Attributes:
        bits: of a weight in the candidate; None where they could not be read.
        per_channel: each output channel has its own scale; None where the weights are not quantized.
        outputs, inputs: output and input channels; `inputs` is 0 where each channel is computed by itself.
        smallest, largest: the least and the greatest of the channels' largest absolute weights.
        ratio: of the two; 0 where a channel is all zeros.
        input_ratio: the same of the input channels.
        coarse_outputs, coarse_inputs: channels whose largest weight is less than `COARSE` steps.
    """

    bits: int | None
    per_channel: bool | None
    outputs: int
    inputs: int
    smallest: float
    largest: float
    ratio: float
    input_ratio: float
    coarse_outputs: int
    coarse_inputs: int


@dataclass(frozen=True)
class ActivationRanges:
    """The values of a layer in float on these images, and what the candidate can hold of them.

    Attributes:
        low, high: all values lie between these.
        central_low, central_high: the middle 99.9 % do (estimated on a sample).
        held_low, held_high, step: what the candidate's tensor can hold; None where it is not quantized.
        clipped: the share of values beyond that.
        used, central_used: the share of the held range that all values, and the middle 99.9 %, reach over.
        channels: their number.
        channel_ratio: the largest channel's absolute maximum by the smallest's (that is not 0).
        coarse_channels: channels whose largest value is less than `COARSE` steps.
    """

    low: float
    high: float
    central_low: float
    central_high: float
    held_low: float | None
    held_high: float | None
    step: float | None
    clipped: float
    used: float | None
    central_used: float | None
    channels: int
    channel_ratio: float
    coarse_channels: int


@dataclass(frozen=True)
class NoiseParts:
    """What the noise that a layer adds consists of, as shares of its power.

    `clipping`: values beyond the held range; `rounding`: of the output to steps; `weights`: the rest, that is quantized
    weights and inner arithmetic. `shift` is of the whole: what a constant error of each channel (a wrong bias) makes
    up.
    """

    clipping: float
    rounding: float
    weights: float
    shift: float


@dataclass(frozen=True)
class Layer:
    """One activation of both models, compared.

    Attributes:
        tensor: its name in the reference's file.
        name, kind, part, fused: see `layer_names.Owner`.
        sqnr_db: the drift up to here; None where there is none at all.
        own_sqnr_db: the noise that the layer adds; None where it adds none.
        cosine: of the angle between the two activations, over all images.
        max_difference: the largest absolute difference, in the units of the activation.
        relative_difference: the same by the range of the reference's values.
        weights: of the operator that computes it, if it has any.
        noise: what its noise consists of; None where it adds none.
        bad: it adds too much.
        help: what would help a bad layer, each with the figure that it follows from.
    """

    tensor: str
    name: str
    kind: str
    part: str
    fused: tuple[str, ...]
    sqnr_db: float | None
    own_sqnr_db: float | None
    cosine: float
    max_difference: float
    relative_difference: float
    weights: WeightRanges | None
    activations: ActivationRanges
    noise: NoiseParts | None
    bad: bool
    help: tuple[str, ...]


@dataclass(frozen=True)
class Drift:
    """All layers that could be compared, in the order of computation.

    Attributes:
        images: how many images the figures are over.
        layers: the layers.
        first_bad: the place of the first bad layer, None where there is none.
        worst: the place of the layer that adds most noise; None where none adds any.
        unmatched: layers of the reference that the candidate does not have under a name that can be told, mostly
            because they are fused there.
        misshapen: layers of both that have different shapes.
    """

    images: int
    layers: tuple[Layer, ...]
    first_bad: int | None
    worst: int | None
    unmatched: int
    misshapen: int


@dataclass
class Accumulator:
    """The sums of one activation over images; its memory does not grow with their number but for a sample.

    `axis` is where its channels lie, `gains` are `layer_files.channel_gains`, `held` what the candidate can hold.
    """

    axis: int
    channels: int
    gains: NDArray[np.float64] | None
    held: Held | None
    images: int = 0
    elements: int = 0
    signal: float = 0.0
    noise: float = 0.0
    product: float = 0.0
    power: float = 0.0
    difference: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    clipped: int = 0
    clipping: float = 0.0
    rounding: float = 0.0
    samples: list[NDArray[np.float32]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Zeros for each channel."""
        self.own_signal, self.own_noise, self.own_error, self.peaks = np.zeros((4, self.channels))
        self._sampled: NDArray[np.int64] | None = None

    def add(self, ours: NDArray[np.float32], theirs: NDArray[np.float32], alone: NDArray[np.float32]) -> None:
        """Add an image.

        Args:
            ours: the reference's activation.
            theirs: the candidate's.
            alone: what the float layer makes of the candidate's inputs.
        """
        ours, theirs, alone = (self._by_channel(each) for each in (ours, theirs, alone))
        self.images += 1
        self.elements += ours.size
        off = ours - theirs
        self.signal += float(np.vdot(ours, ours))
        self.power += float(np.vdot(theirs, theirs))
        self.product += float(np.vdot(ours, theirs))
        self.noise += float(np.vdot(off, off))
        self.difference = max(self.difference, float(np.abs(off).max()))
        tops, bottoms = ours.max(0), ours.min(0)
        self.low, self.high = min(self.low, float(bottoms.min())), max(self.high, float(tops.max()))
        self.peaks = np.maximum(self.peaks, np.maximum(tops, -bottoms))
        off = theirs - alone
        self.own_signal += np.einsum("ij,ij->j", alone, alone)
        self.own_noise += np.einsum("ij,ij->j", off, off)
        self.own_error += off.sum(0)
        chosen = self._sample(ours)
        self.samples.append(ours.reshape(-1)[chosen])
        if self.held is not None:
            self._hold(ours, alone, alone.reshape(-1)[chosen], self.held)

    def _by_channel(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """[…, C]."""
        if self.axis >= values.ndim - 1:
            return values.reshape(-1, self.channels)
        return np.ascontiguousarray(np.moveaxis(values, self.axis, -1)).reshape(-1, self.channels)

    def _sample(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        if self._sampled is None:
            self._sampled = np.sort(np.random.default_rng(0).integers(0, values.size, min(SAMPLED, values.size)))
        return self._sampled

    def _hold(
        self, ours: NDArray[np.float32], alone: NDArray[np.float32], sample: NDArray[np.float32], held: Held
    ) -> None:
        low, high = held.low - held.step / 2, held.high + held.step / 2
        if ours.min() < low or ours.max() > high:
            self.clipped += int(np.count_nonzero((ours < low) | (ours > high)))
        if alone.min() < low or alone.max() > high:
            beyond = alone - np.clip(alone, held.low, held.high)
            self.clipping += float(np.vdot(beyond, beyond))
        inside = sample[(sample >= low) & (sample <= high)].astype(np.float64)
        rest = inside - np.rint(inside / held.step) * held.step
        self.rounding += float(np.vdot(rest, rest)) / max(1, len(sample)) * alone.size

    # --- the figures

    def sqnr(self) -> float | None:
        """The drift, in dB; None without any."""
        return decibels(self.signal, self.noise)

    def own_sqnr(self) -> float | None:
        """The noise of its own, in dB; None without any."""
        gains = self.gains if self.gains is not None and len(self.gains) == self.channels else np.ones(self.channels)
        return decibels(float(gains @ self.own_signal), float(gains @ self.own_noise))

    def cosine(self) -> float:
        """Of the angle between both models' activations; 1 where both are zero."""
        size = math.sqrt(self.signal * self.power)
        return min(1.0, self.product / size) if size else float(self.signal == self.power)

    def parts(self) -> NoiseParts | None:
        """What the noise of its own consists of."""
        total = float(self.own_noise.sum())
        if total <= 0:
            return None
        clipping = min(1.0, self.clipping / total)
        rounding = min(1.0 - clipping, self.rounding / total)
        each = self.elements / self.channels
        shift = min(1.0, float((self.own_error**2).sum()) / each / total)
        return NoiseParts(clipping, rounding, 1.0 - clipping - rounding, shift)

    def ranges(self) -> ActivationRanges:
        """The values, and what the candidate can hold of them."""
        sample = np.concatenate(self.samples)
        tail = (1 - CENTRAL) / 2
        central_low, central_high = (float(each) for each in np.quantile(sample, (tail, 1 - tail)))
        live = self.peaks[self.peaks > 0]
        held = self.held
        reach = held.high - held.low if held else 0.0
        return ActivationRanges(
            self.low,
            self.high,
            central_low,
            central_high,
            held.low if held else None,
            held.high if held else None,
            held.step if held else None,
            self.clipped / self.elements,
            _overlap(self.low, self.high, held) / reach if held and reach else None,
            _overlap(central_low, central_high, held) / reach if held and reach else None,
            self.channels,
            float(live.max() / live.min()) if len(live) else 0.0,
            int((live < COARSE * held.step).sum()) if held else 0,
        )


def _overlap(low: float, high: float, held: Held) -> float:
    return max(0.0, min(high, held.high) - max(low, held.low))


def decibels(signal: float, noise: float) -> float | None:
    """10·log10(signal / noise), within ±`LIMIT_DB`; None where there is no noise."""
    if noise <= 0:
        return None
    if signal <= 0:
        return -LIMIT_DB
    return max(-LIMIT_DB, min(LIMIT_DB, 10 * math.log10(signal / noise)))


def weight_ranges(float_weight: Weight, candidate: Weight | None) -> WeightRanges | None:
    """The ranges of a float weight by channel, and how a candidate's of the same layer holds them."""
    values = float_weight.values
    if values is None:
        return None
    sizes = np.abs(values)
    outputs = _peaks(sizes, float_weight.outputs)
    inputs = _peaks(sizes, float_weight.inputs) if float_weight.inputs is not None else np.zeros(0)
    scales = candidate.scales if candidate is not None else None
    coarse_outputs = coarse_inputs = 0
    if scales is not None and len(scales) in (1, len(outputs)):
        coarse_outputs = int((outputs < COARSE * scales).sum())
        if float_weight.inputs is not None:
            shape = [1] * values.ndim
            shape[float_weight.outputs] = len(scales)
            coarse_inputs = int((_peaks(sizes / scales.reshape(shape), float_weight.inputs) < COARSE).sum())
    return WeightRanges(
        candidate.bits if candidate is not None else None,
        None if scales is None else len(scales) > 1,
        len(outputs),
        len(inputs),
        float(outputs.min()),
        float(outputs.max()),
        _ratio(outputs),
        _ratio(inputs),
        coarse_outputs,
        coarse_inputs,
    )


def _peaks(sizes: NDArray[Any], axis: int) -> NDArray[Any]:
    return np.asarray(sizes.max(tuple(other for other in range(sizes.ndim) if other != axis)))


def _ratio(peaks: NDArray[Any]) -> float:
    return float(peaks.max() / peaks.min()) if len(peaks) and peaks.min() > 0 else 0.0
