"""What conversion loses: digits, trained and converted five times, each time scored on a fifth that neither saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import models
from benchmarks.measure import Figure, say
from edgekit.convert.run import SCHEMES
from edgekit.data.dataset import Dataset, open_dataset
from edgekit.data.splits import folds
from edgekit.data.stream import BadImages
from edgekit.train.fit import train
from edgekit.validate.score import Models, score
from edgekit.validate.statistics import Parity, compare

FOLDS, SEED = 5, 0
# ONNX Runtime has no fast dynamic convolutions, so edgekit refuses that scheme for CNNs.
REFUSED = {("onnx", "dynamic")}

Scores = dict[str, NDArray[np.float32]]


def measure(work: Path) -> list[Figure]:
    """Top-1 of the Keras models over all five held-out parts, and what each scheme loses of it."""
    data = open_dataset(models.DIGITS)
    parts = folds(data, FOLDS, SEED)
    scores = []
    for number, part in enumerate(parts):
        say(f"  fold {number + 1} of {FOLDS}")
        scores.append(_fold(work / f"fold{number}", data, part))
    truth = np.concatenate([data.subset(part).targets() for part in parts])
    pooled = {name: np.concatenate([each[name] for each in scores]) for name in scores[0]}
    reference = pooled.pop("keras")
    top1 = 100 * float((reference.argmax(1) == truth).mean())
    return [
        Figure(f"digits, {FOLDS} folds: top-1 of Keras", 97, top1, " %", at_least=True,
               detail=f"{len(truth)} images, {np.sum(reference.argmax(1) != truth)} wrong"),
        *(_lost(name, compare(reference, each, truth)) for name, each in pooled.items()),
    ]


def _lost(name: str, parity: Parity) -> Figure:
    assert parity.drop is not None
    assert parity.drop_interval is not None
    assert parity.candidate_top1 is not None
    low, high = parity.drop_interval
    return Figure(f"digits, {FOLDS} folds: top-1 lost by {name}", 0.5, parity.drop, " points",
                  detail=f"{parity.candidate_top1:.2%}, lost/gained {parity.lost}/{parity.gained}, "
                         f"95 %: {low:z.2f} to {high:z.2f}")


def _fold(work: Path, data: Dataset, held_out: list[int]) -> Scores:
    """Train and calibrate on all but `held_out`; the scores of every file on `held_out`."""
    work.mkdir()
    archive = np.load(models.DIGITS)
    rest = np.setdiff1d(np.arange(len(data)), held_out)
    seen = work / "seen.npz"
    np.savez(seen, x=archive["x"][rest], y=archive["y"][rest])
    unseen = data.subset(held_out)
    model = work / "digits.keras"
    train(seen, model, seed=SEED, held_out=unseen)
    paths = {"keras": model}
    for ending, schemes in SCHEMES.items():
        for scheme in schemes:
            if (ending, scheme) not in REFUSED:
                name = f"{scheme.replace('none', 'float32')}.{ending}"
                paths[name] = models.converted(model, scheme, ending, seen)
    opened = Models(list(paths.values()))
    try:
        scored, _ = score(opened, unseen, BadImages())
    finally:
        opened.close()
    return {name: each.scores for name, each in zip(paths, scored, strict=True)}
