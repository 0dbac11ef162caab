"""The drift of a candidate layer by layer: as text for the terminal, and as plot and tables for the report page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.report.figures import count
from edgekit.report.page import Html, bullets, element, figure, join, paragraph, shown, table
from edgekit.report.parts import facts
from edgekit.report.svg import Axis, Plot, legend, picture, text
from edgekit.validate.layer_advice import differ
from edgekit.validate.layer_drift import BAD_DB, COARSE

if TYPE_CHECKING:
    from edgekit.validate.layer_drift import Drift, Layer

Columns = dict[str, list[str]]

MOST_LAYERS = 150  # rows of the page's table
WIDTH, HEIGHT = 760, 300  # of the plot, in pixels
LEFT, TOP, RIGHT, BOTTOM = 46, 62, 14, 40
CEILING = 60.0  # dB; above it, noise makes no difference, and the plot ends
FLOOR = -10.0
WORST_SHOWN = 3


def figures(drift: Drift) -> Columns:
    """The layers in the order of computation, by column."""
    layers = drift.layers
    return {
        "layer": names(layers),
        "type": [layer.kind for layer in layers],
        "SQNR dB": [decibels(layer.sqnr_db) for layer in layers],
        "own SQNR dB": [decibels(layer.own_sqnr_db) for layer in layers],
        "cosine": [f"{layer.cosine:.4f}" for layer in layers],
        "max diff": [f"{layer.max_difference:.3g}" for layer in layers],
        "of range": [f"{layer.relative_difference:.1%}" for layer in layers],
        "note": ["first bad" if place == drift.first_bad else "bad" if layer.bad else ""
             for place, layer in enumerate(layers)],
    }  # fmt: skip


def names(layers: Sequence[Layer]) -> list[str]:
    """What to call each layer; of several activations of one layer, with the operation."""
    activations = Counter(layer.name for layer in layers)
    return [
        f"{layer.name} ({layer.part or layer.kind})" if activations[layer.name] > 1 else layer.name for layer in layers
    ]


def decibels(value: float | None) -> str:
    """A ratio of signal and noise; without noise it is exact."""
    return "exact" if value is None else f"{value:.1f}"


def summary(drift: Drift) -> str:
    """One sentence: which layer is the first bad one, or how far it came without one."""
    called = names(drift.layers)
    if drift.first_bad is not None:
        layer = drift.layers[drift.first_bad]
        bad = sum(each.bad for each in drift.layers)
        more = f" {count(bad, 'layer')} of {len(drift.layers)} {'is' if bad == 1 else 'are'} bad." if bad > 1 else ""
        return (
            f"The first bad layer is {called[drift.first_bad]} ({_type(layer)}): the noise that it adds is at "
            f"{decibels(layer.own_sqnr_db)} dB, below {BAD_DB:g}.{more}"
        )
    if drift.worst is None:
        return "No layer adds any noise: both models compute the same."
    noisiest = sorted(
        (layer.own_sqnr_db, place) for place, layer in enumerate(drift.layers) if layer.own_sqnr_db is not None
    )[:WORST_SHOWN]
    most = ", ".join(f"{called[place]} {value:.1f}" for value, place in noisiest)
    last = drift.layers[-1]
    return (
        f"No layer is bad: the least own SQNR is {noisiest[0][0]:.1f} dB. The drift at the end, "
        f"{decibels(last.sqnr_db)} dB, has come together over {count(len(drift.layers), 'layer')}; most add: {most} dB."
    )


def coverage(drift: Drift) -> str:
    """What the figures are over, and what they leave out."""
    said = f"{count(len(drift.layers), 'layer')} compared on {count(drift.images, 'image')}"
    if drift.unmatched:
        said += (
            f"; {drift.unmatched} more of the reference have no counterpart of that name, mostly because it is fused"
        )
    if drift.misshapen:
        said += f"; {drift.misshapen} have another shape in the candidate and were skipped"
    return f"{said}."


def details(layer: Layer) -> list[tuple[str, str]]:
    """What was measured of a layer, by name."""
    rows = [("tensor", layer.tensor), ("type", _type(layer))]
    weights, values, noise = layer.weights, layer.activations, layer.noise
    if weights is not None:
        rows.append(("weights", _weights(layer)))
        if weights.inputs > 1:
            rows.append(("weights by input channel", _by_input(layer)))
    rows.append(
        (
            "values in float",
            f"{values.low:.4g} to {values.high:.4g}; 99.9 % of them {values.central_low:.4g} to "
            f"{values.central_high:.4g}; {count(values.channels, 'channel')}, whose largest values "
            f"{differ(values.channel_ratio)}",
        )
    )
    if values.held_low is not None and values.held_high is not None and values.used is not None:
        rows.append(
            (
                "the candidate holds",
                f"{values.held_low:.4g} to {values.held_high:.4g} in steps of {values.step:.3g}; {values.clipped:.2%} "
                f"of the values are cut off; {values.used:.0%} of the range is used, {values.central_used or 0.0:.0%} "
                f"by 99.9 % of the values; {values.coarse_channels} of {values.channels} channels reach over fewer "
                f"than {COARSE} steps",
            )
        )
    if noise is not None:
        rows.append(
            (
                "its noise is",
                f"{noise.rounding:.0%} rounding of the output, {noise.clipping:.0%} clipping, {noise.weights:.0%} "
                f"weights and inner arithmetic; {noise.shift:.0%} of it is a constant shift of the channels",
            )
        )
    return rows


def _type(layer: Layer) -> str:
    return f"{layer.kind}, fused with {', '.join(layer.fused)}" if layer.fused else layer.kind


def _weights(layer: Layer) -> str:
    weights = layer.weights
    assert weights is not None
    said = f"the largest of its channels {differ(weights.ratio)} ({weights.smallest:.3g} to {weights.largest:.3g})"
    if weights.per_channel is None:
        return f"{said}; not quantized"
    scales = "one scale for each channel" if weights.per_channel else "one scale for all"
    return (
        f"{said}; {weights.bits} bits, {scales}; {weights.coarse_outputs} of {weights.outputs} channels have fewer "
        f"than {COARSE} steps"
    )


def _by_input(layer: Layer) -> str:
    weights = layer.weights
    assert weights is not None
    said = f"{count(weights.inputs, 'channel')}, largest weights {differ(weights.input_ratio)}"
    if weights.per_channel is None:
        return said
    return f"{said}; those of {weights.coarse_inputs} have fewer than {COARSE} steps"


# --- the page


def drift_part(drift: Drift, candidate: Path) -> Iterator[Html]:
    """The plot, the table, and what was found about the first bad layer, or the noisiest."""
    yield element("h3", "Layer by layer")
    yield paragraph(summary(drift), " ", coverage(drift))
    caption = (
        "Signal-to-noise ratio by depth. ",
        "SQNR is of the drift that has come together up to a layer; own SQNR is of the noise that the layer itself "
        "adds, each channel weighed as the next layer reads it. Higher is better, 6 dB are one bit; exact layers lie "
        f"on the upper edge. Below the dotted line, {BAD_DB:g} dB, a layer is bad; the first bad one is ringed.",
    )
    drawn = element("div", drift_plot(drift), class_="scroll wide", tabindex="0", role="region", aria_label=caption[0])
    yield figure(drawn, join((element("b", caption[0]), caption[1])))
    place = drift.first_bad if drift.first_bad is not None else drift.worst
    if place is not None:
        layer = drift.layers[place]
        what = "The first bad layer" if layer.bad else "The layer that adds most noise"
        called = names(drift.layers)[place]
        rows = [(name, shown(said, 200) if name in ("tensor", "type") else said) for name, said in details(layer)]
        yield facts(rows, f"{what}: {called if len(called) <= 60 else called[:59] + '…'}")
        if layer.help:
            yield paragraph("What would help:")
            yield bullets(layer.help)
    yield _table(drift, candidate)


def _table(drift: Drift, candidate: Path) -> Html:
    columns = figures(drift)
    rows = list(zip(*columns.values(), strict=True))
    which = ""
    if len(rows) > MOST_LAYERS:
        ranked = sorted(range(len(rows)), key=lambda place: (_level(drift.layers[place].own_sqnr_db), place))
        kept = sorted(ranked[:MOST_LAYERS])
        rows = [rows[place] for place in kept]
        which = f", the {MOST_LAYERS} of {len(drift.layers)} that add most noise"
    return table(
        list(columns),
        [(shown(name), shown(kind), *rest) for name, kind, *rest in rows],
        f"Drift of {candidate.name} by layer{which}",
    )


def drift_plot(drift: Drift) -> Html:
    """Drift and own noise by depth."""
    layers = drift.layers
    levels = [(_level(layer.sqnr_db), _level(layer.own_sqnr_db)) for layer in layers]
    low = min(0.0, 10.0 * min(int(level // 10) for both in levels for level in both))
    ticks = [(float(value), str(value)) for value in range(int(low), int(CEILING) + 1, 10)]
    every = max(1, -(-len(layers) // 10))
    depth = Axis("layer, in the order of computation", 0, max(1, len(layers) - 1),
                 [(place, str(place + 1)) for place in range(0, len(layers), every)])  # fmt: skip
    plot = Plot(depth, Axis("dB", low, CEILING, ticks), LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM)
    kinds = (("first", "SQNR"), ("second", "own SQNR"))
    parts = [plot.axes(), legend(kinds, LEFT, 16, 110), plot.line([(0, BAD_DB), (depth.high, BAD_DB)], "ideal")]
    for number, (kind, _) in enumerate(kinds):
        points = [(place, both[number]) for place, both in enumerate(levels)]
        parts += [plot.line(points, kind), plot.dots(points, kind, 2.5)]
    said = "no layer is bad"
    if drift.first_bad is not None:
        name = names(layers)[drift.first_bad]
        said = f"the first bad layer is {name}"
        parts.append(plot.dots([(drift.first_bad, levels[drift.first_bad][1])], "first", 8, "ring"))
        parts.append(f'<circle class="ring first" cx="{LEFT + 250}" cy="16" r="6"/>')
        parts.append(text(LEFT + 264, 20, f"first bad: {name if len(name) <= 60 else name[:59] + '…'}"))
    described = f"Signal-to-noise ratio of {count(len(layers), 'layer')} by depth: {said}"
    return Html(picture(WIDTH, HEIGHT, described, *parts))


def _level(value: float | None) -> float:
    """Where a ratio is drawn."""
    return CEILING if value is None else min(CEILING, max(FLOOR, value))
