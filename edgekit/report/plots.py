"""The plots of a report page. Each is an image with a description for those who do not see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.calibration import BINS, Reliability
from edgekit.report.figures import count
from edgekit.report.page import Html
from edgekit.report.svg import Axis, Plot, legend, picture, share_axis, text

SIDE = 240  # pixels of a square plot
LEFT, TOP, RIGHT, BOTTOM = 46, 44, 14, 40
WIDTH, HEIGHT = LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM
BAR = 120  # pixels of a full bar
MOST_POINTS = 4000
FEWEST_IN_A_BIN = 10  # a bin of fewer images is drawn small: its share of right answers is mostly chance


def reliability_diagram(found: Mapping[str, Reliability]) -> Html:
    """The share of right answers by score, of one model or two (by name), with the line of an honest one."""
    plot = Plot(share_axis("best score"), share_axis("right"), LEFT, TOP, SIDE, SIDE)
    kinds = dict(zip(("first", "second"), found, strict=False))
    parts = [plot.axes(), plot.line([(0, 0), (1, 1)], "ideal")]
    if len(kinds) > 1:
        parts.append(legend(kinds.items(), LEFT + 24, 14, 110))
    for kind, name in kinds.items():
        bins = found[name].bins
        parts.append(plot.line([(each.confidence, each.accuracy) for each in bins], kind))
        for each in bins:
            parts.append(
                plot.dots([(each.confidence, each.accuracy)], kind, 4 if each.images >= FEWEST_IN_A_BIN else 2)
            )
    errors = ", ".join(f"{name} {each.error:.1%}" for name, each in found.items())
    return Html(
        picture(WIDTH, HEIGHT, f"Reliability diagram in {BINS} bins; expected calibration error: {errors}", *parts)
    )


def score_scatter(reference: NDArray[np.float32], candidate: NDArray[np.float32], agree: NDArray[np.bool_]) -> Html:
    """The scores, float32 [N], that two models give to the reference's answers; disagreements are crosses.

    Of more than `MOST_POINTS` images, every k-th is drawn, and of those on which the models disagree likewise.
    """
    plot = Plot(share_axis("reference"), share_axis("candidate"), LEFT, TOP, SIDE, SIDE)
    dots = "".join(f"M{x} {y}h0" for x, y in _places(plot, reference[agree], candidate[agree]))
    crosses = "".join(
        f"M{x - 3} {y - 3}l6 6m0-6l-6 6" for x, y in _places(plot, reference[~agree], candidate[~agree])
    )
    return Html(
        picture(
            WIDTH, HEIGHT,
            f"Scores of the reference's answers, reference against candidate: {count(len(agree), 'image')}, "
            f"{count(int((~agree).sum()), 'disagreement')}",
            plot.axes(),
            plot.line([(0, 0), (1, 1)], "ideal"),
            f'<path class="cloud second" d="{dots}"/><path class="crosses first" d="{crosses}"/>',
        )
    )


def recall_bars(reference: float, candidate: float) -> Html:
    """The recall of one class, shares, of the reference (above) and of the candidate, as bars for a table's cell."""
    bars = "".join(
        f'<rect class="bar {kind}" x="0" y="{top}" width="{max(1.0, BAR * share):.1f}" height="6"/>'
        for kind, top, share in (("first", 2, reference), ("second", 9, candidate))
    )
    frame = f'<path class="grid" fill="none" d="M{BAR / 2} 0v17M{BAR} 0v17"/>'
    return Html(picture(BAR + 1, 17, f"recall {reference:.1%} and {candidate:.1%}", frame, bars))


def recall_legend() -> Html:
    """What the two bars are, for the head of their column."""
    names = (("first", 0, "reference"), ("second", 78, "candidate"))
    parts = (f'<rect class="bar {kind}" x="{x}" y="6" width="10" height="6"/>' + text(x + 14, 13, name)
             for kind, x, name in names)
    return Html(picture(156, 17, "reference above, candidate below", *parts))


def _places(plot: Plot, x: NDArray[np.float32], y: NDArray[np.float32]) -> list[tuple[int, int]]:
    """The pixels of these points, each once: images in one place look like one image, and cost no more."""
    step = -(-len(x) // MOST_POINTS) or 1
    points = zip(x[::step].tolist(), y[::step].tolist(), strict=True)
    return sorted({(round(plot.across(one)), round(plot.down(other))) for one, other in points})


def selection_curves(selection: Sequence[dict[str, Any]]) -> list[Html]:
    """Loss and accuracy of the cross-validation by strength of regularisation, the chosen one ringed."""
    tried = sorted(selection, key=lambda entry: entry["regularisation"])
    every = -(-len(tried) // 5)
    names = [
        (place, f"{float(format(tried[place]['regularisation'], '.2g')):g}") for place in range(0, len(tried), every)
    ]
    pictures = []
    for figure, form in (("loss", "{:.3f}"), ("accuracy", "{:.1%}")):
        values = [entry[figure] for entry in tried]
        low, high = min(values), max(values)
        ticks = [(low + (high - low) * step / 4, form.format(low + (high - low) * step / 4)) for step in range(5)]
        plot = Plot(
            Axis("regularisation", 0, max(1, len(tried) - 1), names),
            Axis(f"{figure} (cross-validation)", low, high, ticks if high > low else ticks[:1]),
            LEFT + 8, TOP, SIDE, 160,
        )
        chosen = [(place, entry[figure]) for place, entry in enumerate(tried) if entry["chosen"]]
        points = list(enumerate(values))
        pictures.append(
            Html(
                picture(
                    WIDTH + 8, TOP + 160 + BOTTOM,
                    f"{figure} of the cross-validation by regularisation",
                    plot.axes(), plot.line(points, "second"),
                    plot.dots(points, "second", 3), plot.dots(chosen, "first", 7, "ring"),
                )
            )
        )
    return pictures
