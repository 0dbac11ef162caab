"""What conversion loses: digits, trained and converted five times, each time scored on a fifth that neither saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
FILES = [(scheme, ending) for ending, schemes in SCHEMES.items() for scheme in schemes
         if (scheme, ending) != ("dynamic", "onnx")]

Scores = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Pooled:
    """What the models of all folds answer to the images that they did not see.

    Attributes:
        keras: scores of the Keras models, float32 [N, labels].
        parities: by the name of each converted kind of file, how far its answers are from theirs.
        truth: the right labels, int [N].
    """

    keras: NDArray[np.float32]
    parities: dict[str, Parity]
    truth: NDArray[np.int32]

    def top1(self, name: str, target: float) -> Figure:
        """The share of right answers of the Keras models, in %."""
        right = self.keras.argmax(1) == self.truth
        return Figure(f"{name}, {FOLDS} folds: top-1 of Keras", target, 100 * float(right.mean()), " %", at_least=True,
                      detail=f"{len(right)} images, {np.sum(~right)} wrong")

    def lost(self, name: str, most: float = 0.5) -> list[Figure]:
        """What each kind of file loses of it, in points; at most so many."""
        return [
            _lost(f"{name}, {FOLDS} folds: top-1 lost by {kind}", most, parity)
            for kind, parity in self.parities.items()
        ]


def measure(work: Path) -> list[Figure]:
    """Top-1 of the Keras models over all five held-out parts, and what each scheme loses of it."""
    pooled = pool(work / "digits_folds", open_dataset(models.DIGITS), FILES)
    return [pooled.top1("digits", 97), *pooled.lost("digits")]


def pool(work: Path, data: Dataset, files: Sequence[tuple[str, str]], samples: int = 200, **options: Any) -> Pooled:
    """Train, convert and score once for each fold of `data`.

    Args:
        files: scheme and ending of each kind of file to convert to.
        samples: images to calibrate on, of those that the model was trained on.
        options: of `edgekit.train.fit.train`.
    """
    parts = folds(data, FOLDS, SEED)
    scores = []
    for number, part in enumerate(parts):
        say(f"  fold {number + 1} of {FOLDS}")
        scores.append(_fold(work / f"fold{number}", data, part, files, samples, options))
    truth = np.concatenate([data.subset(part).targets() for part in parts])
    pooled = {name: np.concatenate([each[name] for each in scores]) for name in scores[0]}
    keras = pooled.pop("keras")
    return Pooled(keras, {name: compare(keras, each, truth) for name, each in pooled.items()}, truth)


def _lost(name: str, most: float, parity: Parity) -> Figure:
    assert parity.drop is not None
    assert parity.drop_interval is not None
    assert parity.candidate_top1 is not None
    low, high = parity.drop_interval
    return Figure(name, most, parity.drop, " points",
                  detail=f"{parity.candidate_top1:.2%}, lost/gained {parity.lost}/{parity.gained}, "
                         f"95 %: {low:z.2f} to {high:z.2f}")


def _fold(work: Path, data: Dataset, held_out: list[int], files: Sequence[tuple[str, str]], samples: int,
          options: dict[str, Any]) -> Scores:
    """Train and calibrate on all but `held_out`; the scores of every file on `held_out`."""
    work.mkdir(parents=True)
    rest, unseen = data.subset(np.setdiff1d(np.arange(len(data)), held_out).tolist()), data.subset(held_out)
    model = work / "model.keras"
    train(rest, model, seed=SEED, held_out=unseen, **options)
    seen = models.prepared(rest, model, work / "seen.npz")
    paths = {"keras": model}
    for scheme, ending in files:
        name = f"{scheme.replace('none', 'float32')}.{ending}"
        paths[name] = models.converted(model, scheme, ending, seen, samples)
    opened = Models(list(paths.values()))
    try:
        scored, _ = score(opened, unseen, BadImages())
    finally:
        opened.close()
    return {name: each.scores for name, each in zip(paths, scored, strict=True)}
