"""What the plots share: axes, lines, and a style that is legible on light and dark pages and on paper."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Two colours that colour-blind people can tell apart (after Okabe & Ito 2008), darker on white and lighter on black so
# that their contrast is at least 3:1 (WCAG 2.2, 1.4.11); the second one's lines are dashed as well.
STYLE = (
    "svg text{font:12px system-ui,sans-serif;fill:#333}.grid{stroke:#8885;stroke-width:1}.line{fill:none;"
    "stroke:currentColor;stroke-width:2}.dot,.bar{fill:currentColor}.ring{fill:none;stroke:currentColor;stroke-width:2}"
    ".first{color:#b85c00}.second{color:#0072b2}.line.second{stroke-dasharray:6 3}.ideal{color:#777}"
    ".line.ideal{stroke-width:1;stroke-dasharray:2 3}"
    "@media screen and (prefers-color-scheme:dark){svg text{fill:#ddd}.first{color:#f0a030}.second{color:#5ab4ee}"
    ".ideal{color:#999}}"
)

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`; `ticks` are values with their texts."""

    title: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]


def share_axis(title: str) -> Axis:
    """An axis of shares, 0 to 100 %."""
    return Axis(title, 0.0, 1.0, [(step / 4, f"{25 * step}%") for step in range(5)])


@dataclass(frozen=True)
class Plot:
    """A rectangle of the picture in which data are drawn; `left` and `top` are its corner, all in pixels."""

    x: Axis
    y: Axis
    left: float
    top: float
    width: float
    height: float

    def across(self, value: float) -> float:
        """The pixel of a value on the x axis."""
        return self.left + self.width * (value - self.x.low) / ((self.x.high - self.x.low) or 1.0)

    def down(self, value: float) -> float:
        """The pixel of a value on the y axis."""
        return self.top + self.height * (1 - (value - self.y.low) / ((self.y.high - self.y.low) or 1.0))

    def axes(self) -> str:
        """Grid lines, tick marks and titles; that of the y axis stands above it, where it can be read."""
        right, bottom = self.left + self.width, self.top + self.height
        parts = []
        for value, said in self.y.ticks:
            y = self.down(value)
            parts.append(
                f'<line class="grid" x1="{self.left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
                + text(self.left - 6, y + 4, said, "end")
            )
        for value, said in self.x.ticks:
            anchor = "start" if value == self.x.low else "end" if value == self.x.high else "middle"
            parts.append(text(self.across(value), bottom + 17, said, anchor))
        parts.append(text(self.left + self.width / 2, bottom + 33, self.x.title, "middle"))
        if self.y.title:
            parts.append(text(self.left - 6, self.top - 10, self.y.title, "start"))
        return "".join(parts)

    def line(self, points: Points, kind: str) -> str:
        """A line through points (x, y), as a dot where there is only one."""
        drawn = " ".join(f"{self.across(x):.1f},{self.down(y):.1f}" for x, y in points)
        line = f'<polyline class="line {kind}" points="{drawn}"/>'
        return line + (self.dots(points, kind, 3) if len(points) == 1 else "")

    def dots(self, points: Points, kind: str, radius: float, shape: str = "dot") -> str:
        """A circle at each point, filled (`dot`) or open (`ring`)."""
        return "".join(
            f'<circle class="{shape} {kind}" cx="{self.across(x):.1f}" cy="{self.down(y):.1f}" r="{radius:g}"/>'
            for x, y in points
        )


def text(x: float, y: float, said: str, anchor: str = "start") -> str:
    """A line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(said)}</text>'


def legend(entries: Iterable[tuple[str, str]], left: float, top: float, step: float) -> str:
    """What the lines of each kind (kind, name) are."""
    return "".join(
        f'<line class="line {kind}" x1="{left + step * number:.1f}" x2="{left + step * number + 18:.1f}" '
        f'y1="{top:.1f}" y2="{top:.1f}"/>' + text(left + step * number + 24, top + 4, name)
        for number, (kind, name) in enumerate(entries)
    )


def picture(width: float, height: float, description: str, *parts: str) -> str:
    """An SVG image, as a file or inside of a page, whose style `STYLE` is not part of it."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{html.escape(description)}">{"".join(parts)}</svg>'
    )
