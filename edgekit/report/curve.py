"""The learning curve of a training run, for the report page and as a picture of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from edgekit.core import files
from edgekit.report.svg import STYLE, Axis, Plot, legend, picture

WIDTH, HEIGHT = 640, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 44, 40
PANEL = (WIDTH - 2 * LEFT - 2 * RIGHT) / 2
LINES = (("first", "training", ""), ("second", "validation", "val_"))  # style, name, prefix in the history
# A picture shown by itself has no page around it that would give it a background.
PAGE = "rect.page{fill:#fff}@media screen and (prefers-color-scheme:dark){rect.page{fill:#111}}"

History = Sequence[dict[str, float]]


def write_curve(history: History, path: Path) -> None:
    """Draw loss and accuracy by epoch; `history` is that of `edgekit.train.run.Trained`.

    A validation loss that is not finite leaves a gap.
    """
    drawn = picture(
        WIDTH,
        HEIGHT,
        "Learning curve: loss and accuracy by epoch",
        f'<style>{STYLE}{PAGE}</style><rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
        _legend(),
        _panel(history, "loss", LEFT),
        _panel(history, "accuracy", LEFT + PANEL + RIGHT + LEFT),
    )
    files.write_text(path, f"{drawn}\n")


def learning_curves(history: History) -> list[str]:
    """The same as two pictures, loss and accuracy, that fit beside each other or below each other."""
    return [
        picture(LEFT + PANEL + RIGHT, HEIGHT, f"{figure} by epoch", _legend(), _panel(history, figure, LEFT))
        for figure in ("loss", "accuracy")
    ]


def _legend() -> str:
    return legend([(kind, name) for kind, name, _ in LINES], LEFT, 14, 110)


def _panel(history: History, figure: str, left: float) -> str:
    lines = {kind: [epoch[prefix + figure] for epoch in history] for kind, _, prefix in LINES}
    finite = [value for values in lines.values() for value in values if math.isfinite(value)]
    if figure == "loss":
        low, high, form = 0.0, max(finite, default=1.0) or 1.0, "{:.2g}"
    else:
        low, high, form = min([0.9, *finite]), 1.0, "{:.0%}"
    steps = [low + (high - low) * step / 4 for step in range(5)]
    plot = Plot(
        Axis(f"{figure} by epoch", 1, len(history), [(1, "1"), (len(history), str(len(history)))][: len(history)]),
        Axis("", low, high, [(value, form.format(value)) for value in steps]),
        left, TOP, PANEL, HEIGHT - TOP - BOTTOM,
    )
    return plot.axes() + "".join(
        plot.line([(epoch, value) for epoch, value in enumerate(values, 1) if math.isfinite(value)], kind)
        for kind, values in lines.items()
    )
