"""What the pages of a training run and of a validation have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgekit.core.calibration import Reliability, reliability
from edgekit.report.figures import count
from edgekit.report.page import Html, bullets, element, escape, figure, join, shown, table
from edgekit.report.plots import reliability_diagram
from edgekit.runtime.spec import ModelSpec
from edgekit.validate.statistics import wilson_interval

MOST_CLASSES = 30  # rows of a table of classes
MOST_SKIPPED = 20
MOST_STEPS, LONGEST_STEP = 20, 200
HOW_TO_READ_RELIABILITY = (
    "On the dotted line, answers with a score of 80 % are right 8 times of 10; below it, the scores promise too much. "
    "Small dots stand for fewer than 10 images. "
)


def reliability_figure(scores: Mapping[str, NDArray[np.float32]], truth: NDArray[np.integer]) -> Html:
    """The reliability of one model's scores or of two (by name), float32 [N, labels], with how to read it."""
    found: dict[str, Reliability] = {name: reliability(each, truth) for name, each in scores.items()}
    errors = [
        f"{100 * each.error:.1f} points{f' ({name})' if len(found) > 1 else ''}" for name, each in found.items()
    ]
    return figure(
        reliability_diagram(found),
        join((element("b", "Reliability of the scores. "), HOW_TO_READ_RELIABILITY,
              f"Expected calibration error: {', '.join(errors)}.")),
    )


def surely(scores: NDArray[np.float32], truth: NDArray[np.integer], threshold: float) -> str:
    """How many images have a best score, of float32 [N, labels], that reaches the threshold, and how many are right."""
    sure = scores.max(1) >= threshold
    right = int((scores.argmax(1) == truth)[sure].sum())
    number = int(sure.sum())
    said = f"{number} of {count(len(scores), 'image')} ({number / len(scores):.1%}) are answered surely"
    return f"{said}; {right} of these ({right / number:.1%}) are right" if number else said


def interval(images: int, share: float) -> str:
    """The 95 % interval of a share (0..1), in per cent."""
    low, high = wilson_interval(images, share)
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def facts(rows: Iterable[tuple[str, str]], caption: str) -> Html:
    """A table of names and what they are."""
    return table([], rows, caption, "facts")


def origin(spec: ModelSpec) -> list[tuple[str, str]]:
    """Where a model comes from, as its spec says; a spec of somebody else may say more than belongs on a page."""
    said = spec.provenance
    steps = [shown(step, LONGEST_STEP) for step in said.steps[:MOST_STEPS]]
    if len(said.steps) > MOST_STEPS:
        steps.append(escape("…"))
    rows = [
        ("made from", join((shown(said.source), " ", digest(said.source_sha256))) if said.source else ""),
        ("steps", join(steps, " → ")),
        ("tools", tools(said.tools)),
        ("calibrated on", digest(said.calibration_sha256) if said.calibration_sha256 else ""),
    ]
    return [(name, what) for name, what in rows if what]


def tools(versions: Mapping[str, str]) -> Html:
    """Packages with their versions."""
    return join((shown(f"{name} {version}") for name, version in sorted(versions.items())[:MOST_STEPS]), ", ")


def feeding(spec: ModelSpec) -> str:
    """How a model is fed, in a line."""
    image, preprocess = spec.input, spec.preprocess
    fraction = f" {preprocess.crop.fraction:g}" if preprocess.crop.mode == "center" else ""
    return (
        f"{image.width}×{image.height} {preprocess.channel_order}, {image.dtype}; "
        f"crop {preprocess.crop.mode}{fraction}, resize {preprocess.resize}"
    )


def digest(sha256: str) -> Html:
    """A SHA-256 in hexadecimal."""
    return element("code", shown(sha256, 64))


def skipped(images: Sequence[tuple[str, str]]) -> Html:
    """The images that could not be read, each with the reason."""
    if not images:
        return Html("")
    more = [f"… and {len(images) - MOST_SKIPPED} more"] if len(images) > MOST_SKIPPED else []
    lines = [join((shown(name), ": ", reason)) for name, reason in images[:MOST_SKIPPED]]
    left_out = "was left out: it could not be read" if len(images) == 1 else "were left out: they could not be read"
    heading = element("h3", f"{count(len(images), 'image')} {left_out}")
    return join((heading, bullets([*lines, *more])))
