"""Candidates of a search by what they cost and how well they answer; those that nothing beats form the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit.report.page import Html
from edgekit.report.plots import HEIGHT, LEFT, SIDE, TOP, WIDTH
from edgekit.report.svg import Axis, Plot, picture, text

WORST = 0.1  # below the best by more than this share, candidates lie on the lower edge: they would squeeze the others


@dataclass(frozen=True)
class Point:
    """A candidate: its number in the table, what it costs, its share of right answers, and its kind.

    `kind` is winner, front or beaten.
    """

    number: int
    cost: float
    share: float
    kind: str


def pareto_plot(
    points: Sequence[Point],
    cost: str,
    share: str,
    form: Callable[[float], str],
    limits: tuple[float | None, float | None],
) -> Html:
    """Shares against costs, with the candidates' numbers.

    Args:
        points: at least one.
        cost: the title of the axis of costs.
        share: the title of the axis of shares.
        form: a cost as text.
        limits: the highest cost and the lowest share that are wanted, where there are such.
    """
    best = max(point.share for point in points)
    near = [point.share for point in points if point.share >= best - WORST]
    low, high = max(min([*near, limits[1] or best]), best - WORST), best
    margin = max(0.1 * (high - low), 0.004)
    low, high = max(0.0, low - margin), min(1.0, high + margin)
    y = _axis(share, low, high, lambda value: f"{100 * value:.4g}%")
    x = _axis(cost, 0.0, 1.08 * max([point.cost for point in points] + [limits[0] or 0.0]), form)
    plot = Plot(x, y, LEFT + 8, TOP, SIDE, SIDE)
    parts = [plot.axes()]
    if limits[0] is not None:
        parts.append(plot.line([(limits[0], y.low), (limits[0], y.high)], "ideal"))
    if limits[1] is not None and y.low <= limits[1] <= y.high:
        parts.append(plot.line([(x.low, limits[1]), (x.high, limits[1])], "ideal"))
    front = sorted((point for point in points if point.kind != "beaten"), key=lambda point: (point.cost, -point.share))
    parts.append(plot.line(_stairs(front), "second"))
    for point in sorted(points, key=lambda point: point.kind == "winner"):
        place = (point.cost, max(point.share, y.low))
        radius, kind, shape = {"winner": (6, "first", "dot"), "front": (4, "second", "dot")}.get(
            point.kind, (3, "ideal", "ring")
        )
        parts.append(plot.dots([place], kind, radius, shape))
        if point.kind != "beaten":
            parts.append(text(plot.across(place[0]) + 8, plot.down(place[1]) + 14, str(point.number)))
    said = ", ".join(f"{point.number} at {form(point.cost)} and {point.share:.1%}" for point in front)
    return Html(picture(WIDTH + 8, HEIGHT, f"{share} against {cost}; on the front: {said}", *parts))


def _stairs(front: Sequence[Point]) -> list[tuple[float, float]]:
    """The line under which lies what the front beats; only points that are better than all cheaper ones are on it."""
    corners: list[tuple[float, float]] = []
    for point in front:
        if corners and point.share <= corners[-1][1]:
            continue
        if corners:
            corners.append((point.cost, corners[-1][1]))
        corners.append((point.cost, point.share))
    return corners


def _axis(title: str, low: float, high: float, form: Callable[[float], str]) -> Axis:
    """An axis with three to six ticks at round numbers."""
    span = (high - low) or 1.0
    step = 10 ** math.floor(math.log10(span / 3))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 5)
    first = math.ceil(low / step - 1e-9)
    ticks = [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]
    return Axis(title, low, high, [(value, form(value)) for value in ticks])
