"""The learning curve of a training run, as an SVG that is legible on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from edgekit.core import files

WIDTH, HEIGHT = 640, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 44, 40
GAP = 64
# Two colours that colour-blind people can tell apart (Okabe & Ito 2008), and that hold on white and on black.
COLORS = {"training": "#e69f00", "validation": "#0072b2"}
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#333}.grid{stroke:#8884;stroke-width:1}polyline{fill:none;stroke-width:2}"
    "rect.page{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#ddd}rect.page{fill:#111}}"
)


def write_curve(history: Sequence[dict[str, float]], path: Path) -> None:
    """Draw loss and accuracy by epoch; `history` is that of `edgekit.train.fit.Trained`.

    A validation loss that is not finite leaves a gap.
    """
    width = (WIDTH - LEFT - RIGHT - GAP) / 2
    losses = {"training": [epoch["loss"] for epoch in history], "validation": [epoch["val_loss"] for epoch in history]}
    accuracies = {
        "training": [epoch["accuracy"] for epoch in history],
        "validation": [epoch["val_accuracy"] for epoch in history],
    }
    lowest = min(value for values in accuracies.values() for value in values)
    highest = max((value for values in losses.values() for value in values if math.isfinite(value)), default=1.0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-label="Learning curve: loss and accuracy by epoch">',
        f'<style>{STYLE}</style><rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
        _panel("loss", losses, LEFT, width, 0.0, highest, "{:.2g}"),
        _panel("accuracy", accuracies, LEFT + width + GAP, width, min(0.9, lowest), 1.0, "{:.0%}"),
    ]
    for number, (name, color) in enumerate(COLORS.items()):
        x = LEFT + 110 * number
        parts.append(
            f'<rect x="{x}" y="10" width="14" height="4" fill="{color}"/><text x="{x + 20}" y="16">{name}</text>'
        )
    files.write_text(path, "".join([*parts, "</svg>\n"]))


def _panel(
    title: str, lines: dict[str, list[float]], left: float, width: float, low: float, high: float, form: str
) -> str:
    height = HEIGHT - TOP - BOTTOM
    epochs = max(len(values) for values in lines.values())
    spread = (high - low) or 1.0

    def x(epoch: int) -> float:
        return left + width * (epoch / max(1, epochs - 1))

    def y(value: float) -> float:
        return TOP + height * (1 - (value - low) / spread)

    parts = []
    for step in range(5):
        value = low + spread * step / 4
        parts.append(
            f'<line class="grid" x1="{left:.1f}" x2="{left + width:.1f}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
            f'<text x="{left - 6:.1f}" y="{y(value) + 4:.1f}" text-anchor="end">{form.format(value)}</text>'
        )
    for name, values in lines.items():
        points = " ".join(
            f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in enumerate(values) if math.isfinite(value)
        )
        parts.append(f'<polyline stroke="{COLORS[name]}" points="{points}"/>')
        if len(values) == 1 and points:  # a line of one point is invisible
            parts.append(f'<circle cx="{x(0):.1f}" cy="{y(values[0]):.1f}" r="3" fill="{COLORS[name]}"/>')
    middle = left + width / 2
    parts.append(
        f'<text x="{left:.1f}" y="{HEIGHT - 22}">1</text>'
        f'<text x="{left + width:.1f}" y="{HEIGHT - 22}" text-anchor="end">{epochs}</text>'
        f'<text x="{middle:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{title} by epoch</text>'
    )
    return "".join(parts)
