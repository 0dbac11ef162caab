"""What a person says about a foreign model, parsed."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.errors import EdgekitError
from edgekit.runtime.spec import CROPS, MAX_SIDE, Crop, printable

MAX_LABEL_FILE = 16 << 20


@dataclass(frozen=True)
class SpecOptions:
    """The options of `edgekit import` as they were typed; None where nothing was said."""

    labels: str | None = None
    input_size: str | None = None
    resize: str | None = None
    crop: str | None = None
    channel_order: str | None = None
    mean: str | None = None
    std: str | None = None
    output_activation: str | None = None

    @property
    def given(self) -> bool:
        """Whether anything was said."""
        return any(value is not None for value in dataclasses.astuple(self))


def parse_labels(text: str) -> tuple[str, ...]:
    """Labels from a file (one a line) or from a list with commas.

    Raises:
        EdgekitError: there is no such file, or it is not a list of labels.
    """
    path = Path(text)
    if "," in text and not path.is_file():
        labels = [label.strip() for label in text.split(",")]
    else:
        try:
            if path.stat().st_size > MAX_LABEL_FILE:
                raise EdgekitError(f"--labels {printable(text)} is too large for a list of labels.")
            labels = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
        except OSError as error:
            raise EdgekitError(
                f"Cannot read --labels {printable(text)}: {error.strerror}.",
                "Name a file with one label a line, or the labels themselves: cat,dog",
            ) from error
        except UnicodeDecodeError as error:
            raise EdgekitError(f"--labels {printable(text)} is not a text file (UTF-8).") from error
        while labels and not labels[-1]:
            labels.pop()
    for number, label in enumerate(labels, start=1):
        if not label:
            raise EdgekitError(
                f"--labels {printable(text)[:80]}: label {number} is empty.",
                "Every output of the model needs a label; remove blank lines.",
            )
        if printable(label) != label:
            raise EdgekitError(
                f"--labels {printable(text)[:80]}: label {number} has control characters: {printable(label)[:40]!r}."
            )
    return tuple(labels)


def parse_size(text: str) -> tuple[int, int]:
    """Height and width from "224" or "240x320"."""
    match = re.fullmatch(r"(\d{1,4})(?:[x×](\d{1,4}))?", text.strip())
    height, width = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise EdgekitError(
            f"--input-size {printable(text)} is not a size.", "Write 224, or 240x320 for height x width."
        )
    return height, width


def parse_crop(text: str) -> Crop:
    """A crop from "none", "pad", "center" or "center:0.875"."""
    mode, _, fraction = text.partition(":")
    try:
        value = float(fraction) if fraction else 1.0
    except ValueError:
        value = 0.0
    if mode not in CROPS or not 0 < value <= 1 or (fraction and mode != "center"):
        raise EdgekitError(f"--crop {printable(text)} is not a crop.", "Write none, pad, center, or center:0.875.")
    return Crop(mode, value)


def parse_channels(option: str, text: str, channels: int) -> tuple[float, ...]:
    """One number for all channels, or one for each."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) == 1:
        values *= channels
    if len(values) != channels or not all(map(math.isfinite, values)) or (option == "--std" and min(values) <= 0):
        raise EdgekitError(
            f"{option} {printable(text)} does not fit a model of {channels} channels.",
            f"Write one number{' above 0' if option == '--std' else ''}, or {channels} with commas between.",
        )
    return values
