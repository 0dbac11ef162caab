"""What a finding does to the ranges of the layers, in words and numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from edgekit.quantize.evidence.finding import NOTE, WARNING, Finding, LayerRange, listed
from edgekit.quantize.evidence.ranges import (
    LEAVES,
    MANY_LEAVE,
    MIN_IMAGES,
    Extremes,
    Settling,
    compared,
    outliers,
)
from edgekit.runtime.spec import printable

ABOUT_PIXELS = ("one image", "single colours", "range", "brightness", "noise")
MOST_OUTLIERS = 5  # findings
SHOWN_LAYERS = 20  # of each finding
NOTICED = 0.001  # of a range


def with_effects(
    findings: Iterable[Finding], extremes: Extremes, patterns: Extremes, truth: NDArray[np.integer] | None
) -> Iterator[Finding]:
    """The findings with what they do.

    Args:
        extremes: of the images.
        patterns: of the patterns of `edgekit.runtime.preprocess.pattern`: what ordinary contrast does.
        truth: the classes of the images, where they are known.
    """
    for finding in findings:
        if finding.effect:
            yield finding
        elif 0 < len(finding.positions) < len(extremes.low):
            layers = compared(extremes, finding.positions)
            yield dataclasses.replace(finding, effect=_without_them(layers), layers=layers[:SHOWN_LAYERS])
        elif finding.kind == "classes":
            yield dataclasses.replace(finding, effect=_without_a_class(extremes, truth))
        elif finding.kind == "copies":
            yield dataclasses.replace(finding, effect="The ranges are the same without them.")
        elif finding.kind in ABOUT_PIXELS:
            yield dataclasses.replace(finding, effect=_beside(extremes, patterns))
        else:
            yield finding


def outlier_findings(extremes: Extremes, names: list[str]) -> Iterator[Finding]:
    """The images that stretch ranges, each with the layer that it stretches most."""
    for outlier in outliers(extremes)[:MOST_OUTLIERS]:
        worst, *others = outlier.layers
        images = [names[position] for position in outlier.positions]
        stretches, them = ("stretches", "it") if len(images) == 1 else ("stretch", "them")
        more = f" and {len(others)} more" if others else ""
        yield Finding(
            "outlier",
            WARNING,
            f"{listed(images)} {stretches} the range of {short(worst.tensor)}{more}.",
            "If devices will not see such images, leave them out; or estimate ranges that leave out what is rare.",
            f"It spans {_span(worst.range)} with {them} and {_span(worst.without)} without: "
            f"{_coarser(worst.widening)}.",
            tuple(images),
            outlier.layers[:SHOWN_LAYERS],
            outlier.positions,
        )


def settling_finding(found: Settling) -> Finding | None:
    """Where more images would still change the ranges: a warning where they would change much, else a note."""
    if found.enough is not None:
        return None
    images = found.counts[-1]
    many = images < MIN_IMAGES or found.leave[-1] > MANY_LEAVE
    effect = ""
    if found.leave:
        effect = (
            f"With {found.counts[-2]} of them, {found.leave[-1]:.0%} of the others leave a layer's range by more than "
            f"{LEAVES:.0%} of its width, and {short(found.worst_layers[-2])} is {found.worst[-2]:.0%} narrower."
        )
    return Finding(
        "settling",
        WARNING if many else NOTE,
        f"The ranges have not settled with {images} different {'image' if images == 1 else 'images'}.",
        "Add images.",
        effect,
    )


def short(tensor: str) -> str:
    """A tensor's name as a message shows it: of operators that were fused, the first."""
    return printable(tensor.split(";")[0])


def _without_them(layers: tuple[LayerRange, ...]) -> str:
    narrower = [1 - 1 / each.widening for each in layers]
    if not layers or max(narrower) < NOTICED:
        return "The ranges are the same without them."
    worst = layers[0]
    return (
        f"Without them ranges are {np.mean(narrower):.1%} narrower on average, and {short(worst.tensor)} spans "
        f"{_span(worst.without)} instead of {_span(worst.range)}."
    )


def _without_a_class(extremes: Extremes, truth: NDArray[np.integer] | None) -> str:
    present = [] if truth is None else np.unique(truth).tolist()
    if len(present) < 2:
        return ""
    worst = [compared(extremes, np.flatnonzero(truth == label).tolist())[0] for label in present]
    most = max(worst, key=lambda each: each.widening)
    return (
        f"What a class can do: without one of those that are there, a range is up to {1 - 1 / most.widening:.0%} "
        f"narrower ({short(most.tensor)})."
    )


def _beside(extremes: Extremes, patterns: Extremes) -> str:
    usual = patterns.high.max(0) - patterns.low.min(0)
    here = extremes.high.max(0) - extremes.low.min(0)
    if not (usual > 0).any():
        return "No layer has a range over them."
    times = float(np.median(here[usual > 0] / usual[usual > 0]))
    return f"Ranges are {times:.2f} times as wide as those of the built-in test patterns (median over the layers)."


def _span(values: tuple[float, float]) -> str:
    return f"{values[0]:.3g} to {values[1]:.3g}"


def _coarser(widening: float) -> str:
    if widening > 1000:
        return "nothing of the range is left"
    return f"steps are {widening:.1f} times as coarse ({math.log2(widening):.1f} bits lost)"
