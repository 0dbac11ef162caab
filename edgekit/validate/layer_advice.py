"""What would help a layer that adds too much noise, from what was measured of it."""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.validate.layer_drift import COARSE, ActivationRanges, NoiseParts, WeightRanges

DOMINANT = 0.5  # the share of a layer's noise that is worth a remedy of its own
TOO_WIDE = 0.25  # below this share of the held range that values reach over, two bits are lost
STRETCHED = 1 / 3  # the same of the middle 99.9 % of the values
MANY = 0.25  # the share of coarse channels
DIFFERENT = 8.0  # the ratio of channels' ranges; with both, they are too different for one scale
OPTIMIZE = "edgekit optimize"


def advise(noise: NoiseParts | None, values: ActivationRanges, weights: WeightRanges | None) -> tuple[str, ...]:
    """The remedies for a bad layer, the most promising first; each begins with the figures that speak for it."""
    if noise is None:
        return ()
    found = [*_of_clipping(noise, values), *_of_rounding(noise, values), *_of_weights(noise, weights)]
    found.sort(key=lambda each: -each[0])
    lines = [line for _, line in found]
    if noise.shift > DOMINANT:
        lines.append(
            f"{noise.shift:.0%} of its noise is a constant shift of its channels: bias correction ({OPTIMIZE} tries it)"
        )
    return (
        *dict.fromkeys(lines),
        f"{'or ' if lines else ''}keep it, with what reads it, in float: {OPTIMIZE} does so where that buys most for "
        "its bytes",
    )


def differ(ratio: float) -> str:
    """How far channels differ, as in "differ by ×4,915"; 0 stands for a ratio without bound, since one of them is 0."""
    if not ratio:
        return "differ without bound"
    return f"differ by ×{ratio:,.0f}" if ratio >= 10 else f"differ by ×{ratio:.2g}"


def _of_clipping(noise: NoiseParts, values: ActivationRanges) -> Iterator[tuple[float, str]]:
    if noise.clipping <= DOMINANT / 2 or values.held_low is None or values.held_high is None:
        return
    yield (
        noise.clipping,
        f"clipped: its values go from {values.low:.4g} to {values.high:.4g}, and it can hold {values.held_low:.4g} to "
        f"{values.held_high:.4g}; that cuts {values.clipped:.2%} of them off and makes {noise.clipping:.0%} of its "
        "noise. Calibrate on more images, of the kind that the model will see, with ranges by minmax",
    )


def _of_rounding(noise: NoiseParts, values: ActivationRanges) -> Iterator[tuple[float, str]]:
    if noise.rounding <= DOMINANT / 2 or values.used is None or values.held_low is None or values.held_high is None:
        return
    if values.used < TOO_WIDE:
        line = (
            f"range too wide: it can hold {values.held_low:.4g} to {values.held_high:.4g}, and these images reach "
            f"from {values.low:.4g} to {values.high:.4g}, {values.used:.1%} of that. Was it calibrated on other data, "
            "or fed differently? Calibrate on images like these"
        )
    elif values.central_used is not None and values.central_used < STRETCHED:
        line = (
            f"range stretched by few outliers: 99.9 % of its values lie from {values.central_low:.4g} to "
            f"{values.central_high:.4g}, and all from {values.low:.4g} to {values.high:.4g}: ranges by percentile or "
            f"mse ({OPTIMIZE} tries them)"
        )
    elif _too_different(values.coarse_channels, values.channels, values.channel_ratio):
        line = (
            f"its channels {differ(values.channel_ratio)}: {values.coarse_channels} of {values.channels} reach "
            f"over fewer than {COARSE} steps of the one scale: equalization ({OPTIMIZE} tries it)"
        )
    else:
        line = f"8 bits are too coarse for its values: 16-bit activations for this layer ({OPTIMIZE} tries them)"
    yield noise.rounding, line


def _of_weights(noise: NoiseParts, weights: WeightRanges | None) -> Iterator[tuple[float, str]]:
    if noise.weights <= DOMINANT / 2 or weights is None or weights.bits is None or weights.bits > 8:
        return
    if not weights.per_channel and _too_different(weights.coarse_outputs, weights.outputs, weights.ratio):
        line = (
            f"one scale for all its weights, whose channels {differ(weights.ratio)}: {weights.coarse_outputs} of "
            f"{weights.outputs} channels have fewer than {COARSE} steps: equalization ({OPTIMIZE} tries it), or scales "
            "per channel"
        )
    elif _too_different(weights.coarse_inputs, weights.inputs, weights.input_ratio):
        line = (
            f"the weights of its input channels {differ(weights.input_ratio)}: those of {weights.coarse_inputs} of "
            f"{weights.inputs} have fewer than {COARSE} steps: equalization ({OPTIMIZE} tries it)"
        )
    elif weights.bits < 8:
        line = f"its weights have {weights.bits} bits: use 8"
    else:
        return
    yield noise.weights, line


def _too_different(coarse: int, channels: int, ratio: float) -> bool:
    return channels > 1 and coarse >= MANY * channels and not 0 < ratio < DIFFERENT
