"""The images that training is fed with, per second of processor time, beside a bare Pillow that decodes and resizes.

Processor time and not wall time: that is what one core does, however many threads there are and whatever else runs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.few_photos import SIDE, photo_spec
from benchmarks.measure import Figure, in_turns, say
from edgekit.core import child
from edgekit.data.dataset import Dataset, open_dataset
from edgekit.data.stream import BadImages
from edgekit.train import head, loop, pixels
from edgekit.train.augment import photographed
from edgekit.train.devices import prepare

ROUNDS = 5
BATCH = 32


def measure(folder: Path, data: Dataset) -> list[Figure]:
    """Decoding into the pixel file, and augmented batches out of it, as ratios to the bare loop."""
    say("  input pipeline")
    seconds = child.call("benchmarks.pipeline:run", purpose="Measuring the input pipeline", data=str(data.source),
                         path=str(folder / "pipeline.pixels"))
    figures = []
    for name, ours in (("decode photos", seconds["decode"]), ("augmented batches", seconds["augment"])):
        ratio = statistics.median(b / a for a, b in zip(ours, seconds["bare"], strict=True))
        rates = [len(data) / statistics.median(times) for times in (ours, seconds["bare"])]
        figures.append(Figure(f"{name}: images/s of one core", 0.9, ratio, " ×", at_least=True,
                              detail=f"{rates[0]:.0f}; bare Pillow decode and resize {rates[1]:.0f}"))
    return figures


def run(data: str, path: str) -> dict[str, list[float]]:
    """In a child process: the processor seconds of each round, by what was done to all images."""
    prepare("cpu")
    dataset, target = open_dataset(Path(data)), Path(path)
    actions = (partial(_decode, dataset, target), partial(_augment, dataset, target), partial(_bare, dataset))
    for action in actions:  # so that files are cached and code is loaded; and decoding comes before augmentation
        action()
    results = in_turns([partial(_processor_seconds, action) for action in actions], ROUNDS)
    return dict(zip(("decode", "augment", "bare"), results, strict=True))


def _processor_seconds(action: Callable[[], object]) -> float:
    begin = time.process_time()
    action()
    return time.process_time() - begin


def _decode(data: Dataset, path: Path) -> None:
    path.unlink(missing_ok=True)
    pixels.decode(data, photo_spec(data.labels or ()), BadImages(), path)


def _augment(data: Dataset, path: Path) -> None:
    truth, labels = data.targets().astype(np.int64), len(data.labels or ())
    part = loop.Part(pixels.PixelFile(path, (SIDE, SIDE, 3)), range(len(data)), truth,
                     head.weights_of(truth, labels, "none"))
    plan = loop.Plan(1, BATCH, 1, 0.0, 0.0, photographed(True), 0)
    batches = loop.batches(part, labels, plan, first_epoch=0)
    for index in range(len(batches)):
        batches[index]


def _bare(data: Dataset) -> None:
    for index in range(len(data)):
        image = Image.open(data.source / data.name(index)).convert("RGB")
        np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
