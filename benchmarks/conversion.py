"""`edgekit convert --quantize int8` beside a bare script that converts and quantizes and checks nothing."""

from __future__ import annotations

import statistics
import sys
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import models
from benchmarks.measure import EDGEKIT, Figure, in_turns, run, say

ROUNDS = 3
SAMPLES = 100
BARE = Path(__file__).with_name("bare_convert.py")


def measure(work: Path) -> list[Figure]:
    """Time and memory, as ratios to the bare script's."""
    photos = models.photos(work, SAMPLES)
    return [
        *compare(work, "MobileNetV2-96", models.mobilenet(work), photos, models.MOBILENET_MEAN, models.MOBILENET_STD),
        *compare(work, "digits CNN", models.digits(work), _some_digits(work)),
    ]


def compare(work: Path, name: str, model: Path, images: Path, mean: float = 0.0, std: float = 1.0) -> list[Figure]:
    """The same of one `.keras` file; `images` is an `.npz` file of `SAMPLES` images of the input's size."""
    say(f"  {name}")
    target = work / "converted.tflite"
    options = ("--quantize", "int8", "--calibrate", images, "--samples", str(SAMPLES))
    ours, bare = in_turns([
        partial(run, *EDGEKIT, "convert", model, "-o", target, *options),
        partial(run, sys.executable, BARE, model, images, str(mean), str(std), target),
    ], ROUNDS)
    time = statistics.median(a.seconds / b.seconds for a, b in zip(ours, bare, strict=True))
    memory = max(each.peak for each in ours) / max(each.peak for each in bare)
    ours_seconds, bare_seconds = (statistics.median(each.seconds for each in runs) for runs in (ours, bare))
    ours_peak, bare_peak = (max(each.peak for each in runs) / 1e6 for runs in (ours, bare))
    return [
        Figure(f"convert {name} to int8: time", 1.25, time, " ×",
               detail=f"{ours_seconds:.1f} s; bare script {bare_seconds:.1f} s"),
        Figure(f"convert {name} to int8: largest process", 1.1, memory, " ×",
               detail=f"{ours_peak:.0f} MB; bare script {bare_peak:.0f} MB"),
    ]


def _some_digits(work: Path) -> Path:
    path = work / "some_digits.npz"
    archive = np.load(models.DIGITS)
    np.savez(path, x=archive["x"][:SAMPLES], y=archive["y"][:SAMPLES])
    return path
