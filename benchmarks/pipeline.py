"""The images that training is fed with, per second of processor time, beside a bare Pillow that decodes and resizes.

Processor time and not wall time: that is what one core does, whatever else runs. The bare loops differ in their kernel:
Pillow resizes with the bicubic one where none is named, and edgekit with the bilinear one, which costs less.
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
from edgekit.runtime import preprocess
from edgekit.train import head, loop, pixels
from edgekit.train.augment import photographed
from edgekit.train.devices import prepare

ROUNDS = 9
BATCH = 32


def measure(folder: Path, data: Dataset) -> list[Figure]:
    """Decoding into the pixel file, and augmented batches out of it, as ratios to the bare loop."""
    say("  input pipeline")
    seconds = child.call("benchmarks.pipeline:run", purpose="Measuring the input pipeline", data=str(data.source),
                         path=str(folder / "pipeline.pixels"))
    rates = {name: len(data) / statistics.median(times) for name, times in seconds.items()}
    figures = []
    for action, name in (("decode", "decode photos"), ("augment", "augmented batches")):
        ratio = statistics.median(b / a for a, b in zip(seconds[action], seconds["bare"], strict=True))
        figures.append(Figure(f"{name}: images/s of one core", 0.9, ratio, " ×", at_least=True,
                              detail=f"{rates[action]:.0f}; bare Pillow decode and resize {rates['bare']:.0f} "
                                     f"(bilinear {rates['bilinear']:.0f})"))
    return figures


def run(data: str, path: str) -> dict[str, list[float]]:
    """In a child process: the processor seconds of each round, by what was done to all images."""
    prepare("cpu")
    dataset, target = open_dataset(Path(data)), Path(path)
    actions = {
        "decode": partial(_decode, dataset, target),
        "augment": partial(_augment, dataset, target),
        "bare": partial(_bare, dataset, Image.Resampling.BICUBIC),
        "bilinear": partial(_bare, dataset, Image.Resampling.BILINEAR),
    }
    for action in actions.values():  # so that files are cached and code is loaded; and the pixel file is there
        action()
    results = in_turns([partial(_processor_seconds, action) for action in actions.values()], ROUNDS)
    return dict(zip(actions, results, strict=True))


def _processor_seconds(action: Callable[[], object]) -> float:
    begin = time.process_time()
    action()
    return time.process_time() - begin


def _decode(data: Dataset, path: Path) -> None:
    """What `edgekit.train.pixels.decode` does to each image, in one thread."""
    spec = photo_spec(data.labels or ())
    with path.open("wb") as stream:
        for index in range(len(data)):
            image = preprocess.pixels(data.read(index, spec.preprocess.orientation), spec)
            stream.write(np.ascontiguousarray(image).data)


def _augment(data: Dataset, path: Path) -> None:
    truth, labels = data.targets().astype(np.int64), len(data.labels or ())
    part = loop.Part(pixels.PixelFile(path, (SIDE, SIDE, 3)), range(len(data)), truth,
                     head.weights_of(truth, labels, "none"))
    plan = loop.Plan(1, BATCH, 1, 0.0, 0.0, photographed(True), 0)
    batches = loop.batches(part, labels, plan, first_epoch=0)
    for index in range(len(batches)):
        batches[index]


def _bare(data: Dataset, kernel: Image.Resampling) -> None:
    for index in range(len(data)):
        np.asarray(Image.open(data.source / data.name(index)).convert("RGB").resize((SIDE, SIDE), kernel))
