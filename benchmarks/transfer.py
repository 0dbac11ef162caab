"""Learning from photos on a pretrained network: how right it is, what conversion loses of it, and how long it takes."""

from __future__ import annotations

import statistics
import sys
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import accuracy, conversion, few_photos, models, pipeline, throughput
from benchmarks.measure import EDGEKIT, Figure, in_turns, run, say
from edgekit.data.dataset import Dataset, open_dataset
from edgekit.data.splits import stratified_sample

ROUNDS = 3
SAMPLES = 100  # photos to calibrate on
BACKBONE = "efficientnet-lite0"
FILES = (("int8", "tflite"), ("int8", "onnx"))
BARE = Path(__file__).with_name("bare_transfer.py")


def measure(work: Path, folder: Path) -> list[Figure]:
    """All figures of a folder of photos with a subfolder for each class."""
    data = open_dataset(folder)
    return [
        *_folds(work, data),
        _frozen_stage(work, data),
        *few_photos.measure(work, data),
        *_pretrained(work, data),
        *pipeline.measure(work, data),
    ]


def _folds(work: Path, data: Dataset) -> list[Figure]:
    """Top-1 of the Keras models, what the int8 files lose of it, and how often these give the same answer."""
    name = data.source.name
    pooled = accuracy.pool(work / "photo_folds", data, FILES, SAMPLES, backbone=BACKBONE)
    agreement = [
        Figure(f"{name}, {accuracy.FOLDS} folds: agreement of {kind}", 99, 100 * parity.agreement, " %",
               at_least=True, detail=f"{parity.images} images")
        for kind, parity in pooled.parities.items()
    ]
    return [pooled.top1(name, 97.8), *pooled.lost(name, 0.3), *agreement]


def _frozen_stage(work: Path, data: Dataset) -> Figure:
    """The whole command, in seconds."""
    say("  frozen stage")
    ours, bare = in_turns([
        partial(run, *EDGEKIT, "train", data.source, "-o", work / "photos.keras", "--backbone", BACKBONE),
        partial(run, sys.executable, BARE, data.source),
    ], ROUNDS)
    ours_seconds, bare_seconds = (statistics.median(each.seconds for each in runs) for runs in (ours, bare))
    return Figure(f"train on {len(data)} photos", 60, ours_seconds, " s",
                  detail=f"bare features and logistic regression {bare_seconds:.1f} s")


def _pretrained(work: Path, data: Dataset) -> list[Figure]:
    """The pretrained network itself: converting it, and what its files answer in a second."""
    model = models.efficientnet(work)
    sample = data.subset(stratified_sample(data, SAMPLES, 0))
    figures = conversion.compare(work, "EfficientNet-Lite0", model, models.prepared(sample, model, work / "sample.npz"))
    count = 2 * throughput.BATCH * throughput.CORES  # two full batches for each thread of `validate`
    repeated = data.subset(np.resize(stratified_sample(data, count, 0), count).tolist())
    photos = models.prepared(repeated, model, work / "repeated.npz")
    for scheme, ending in throughput.FILES:
        name = f"EfficientNet-Lite0 {scheme.replace('none', 'float32')}.{ending}"
        figures.append(throughput.compare(name, [models.converted(model, scheme, ending, photos)], photos))
    return figures
