"""What can be chosen about a training run, and what no run can be made with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from edgekit.core.errors import EdgekitError

AUTO, CNN, LITE = "auto", "cnn", "efficientnet-lite0"
DEVICES = ("auto", "cpu", "gpu")
CLASS_WEIGHTS = ("none", "balanced")
SMALLEST_SIZE, LARGEST_SIZE = 8, 512
PHOTO_SIZE = 64  # pixels; smaller images are nothing like what pretrained networks have seen


@dataclass(frozen=True)
class Settings:
    """See `edgekit.train.fit.train`.

    Raises:
        EdgekitError: a value that is out of range.
    """

    backbone: str = AUTO
    weights: str = "imagenet"
    input_size: int | None = None
    epochs: int = 60
    fine_tune: int = 0
    batch_size: int = 32
    label_smoothing: float = 0.0
    mixup: float = 0.0
    class_weights: str = "none"
    mirror: bool = True
    precision: float = 0.95
    device: str = "auto"
    seed: int = 0
    qat: bool = False

    def __post_init__(self) -> None:
        for name, lowest in (("epochs", 1), ("batch_size", 1), ("fine_tune", 0), ("seed", 0)):
            if getattr(self, name) < lowest:
                raise EdgekitError(
                    f"Training with {name} {getattr(self, name)} is not possible.", f"It must be {lowest} or more."
                )
        for name, highest in (("label_smoothing", 0.5), ("mixup", 10.0), ("precision", 1.0)):
            if not 0 <= getattr(self, name) <= highest:
                raise EdgekitError(
                    f"Training with {name} {getattr(self, name):g} is not possible.",
                    f"It must lie between 0 and {highest:g}.",
                )
        for name, allowed in (("device", DEVICES), ("class_weights", CLASS_WEIGHTS)):
            if getattr(self, name) not in allowed:
                raise EdgekitError(
                    f"Training with {name} {getattr(self, name)!r} is not possible.", f"Choose {', '.join(allowed)}."
                )
        if self.input_size is not None and not SMALLEST_SIZE <= self.input_size <= LARGEST_SIZE:
            raise EdgekitError(
                f"An input of {self.input_size} pixels cannot be trained.",
                f"Choose an --input-size from {SMALLEST_SIZE} to {LARGEST_SIZE}.",
            )

    def said(self, start: str, always: tuple[str, ...] = ("seed",)) -> str:
        """The options that differ from their defaults, as one would type them; first `start`, what is trained."""
        parts = [f"train {start}"]
        for entry in dataclasses.fields(self):
            value: Any = getattr(self, entry.name)
            if entry.name in ("backbone", "device") or (value == entry.default and entry.name not in always):
                continue
            option = f"--{entry.name.replace('_', '-')}"
            if isinstance(value, bool):
                parts.append(option if value else f"--no-{option[2:]}")
            elif entry.name == "weights" and value not in ("imagenet", "none"):
                parts.append(f"{option} FILE")  # the name of a file is nobody else's business
            else:
                parts.append(f"{option} {value:g}" if isinstance(value, float) else f"{option} {value}")
        return " ".join(parts)
