"""What was found about a representative dataset."""

from __future__ import annotations

from dataclasses import dataclass, field

REFUSAL, WARNING, NOTE = "refusal", "warning", "note"


@dataclass(frozen=True)
class LayerRange:
    """The range of one tensor over the images, and over them without those that a finding speaks of.

    `widening` is how many times as wide the first is, and so the step of an integer; 2 costs one bit.
    """

    tensor: str
    range: tuple[float, float]
    without: tuple[float, float]
    widening: float


@dataclass(frozen=True)
class Finding:
    """One thing that was found, in words.

    Attributes:
        kind: one image, single colours, range, brightness, noise, copies, classes, feeding, answers, outlier or
            settling.
        level: refusal (these images cannot calibrate the model), warning, or note.
        what: a sentence.
        hint: what to do about it.
        effect: what it does to the ranges or the answers, measured; empty where nobody measured.
        images: the names of those that it speaks of; empty where that is all of them.
        layers: the ranges with and without these images, the most widened first.
        positions: of the images, in the representative dataset.
    """

    kind: str
    level: str
    what: str
    hint: str = ""
    effect: str = ""
    images: tuple[str, ...] = ()
    layers: tuple[LayerRange, ...] = ()
    positions: tuple[int, ...] = field(default=(), metadata={"json": False})

    @property
    def text(self) -> str:
        """All of it in one line."""
        return " ".join(part for part in (self.what, self.effect, self.hint) if part)


def listed(names: tuple[str, ...] | list[str], most: int = 3) -> str:
    """A few names, and how many more there are: a.png, b.png and 3 more."""
    if len(names) <= most + 1:
        return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
