"""The head that edgekit fits to few photos beside plain logistic regressions on the same features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from benchmarks.measure import Figure, say
from edgekit.core import child
from edgekit.data.dataset import Dataset
from edgekit.data.splits import folds
from edgekit.data.stream import BadImages
from edgekit.runtime.spec import Crop, InputSpec, ModelSpec, OutputSpec, Preprocess
from edgekit.train import backbones, features, head, pixels, work
from edgekit.train.augment import photographed
from edgekit.train.devices import prepare

SIZES = (5, 10, 20)  # photos of a class to learn from
ASKED = 150  # others of it that are asked, where it has as many
SEEDS = 5
BACKBONE, SIDE = "efficientnet-lite0", 224
VIEWS = work.MOST_VIEWS

Features = NDArray[np.float32]


def measure(folder: Path, data: Dataset) -> list[Figure]:
    """Mean top-1 of edgekit's head less that of a logistic regression, in points."""
    say(f"  features of {VIEWS} views of {len(data)} photos")
    found = _features(folder, data)
    fewest = int(np.bincount(data.targets()).min())
    return [_compare(data, found, size) for size in SIZES if size < fewest]


def photo_spec(labels: tuple[str, ...]) -> ModelSpec:
    """How `edgekit train` prepares photos for the backbone."""
    return ModelSpec(InputSpec("image", SIDE, SIDE, 3, "float32"), Preprocess("bilinear-aa", Crop("center")),
                     OutputSpec("scores", "softmax"), labels)


def _features(folder: Path, data: Dataset) -> Features:
    """Features of every photo, float32 [N, VIEWS, D]: its plain view first."""
    path = folder / "few_photos.pixels"
    pixels.decode(data, photo_spec(data.labels or ()), BadImages(), path)
    target = folder / "few_photos.features"
    child.call("benchmarks.few_photos:extract", purpose="Extracting features", images=len(data), path=str(path),
               target=str(target))
    return np.fromfile(target, np.float32).reshape(len(data), VIEWS, -1)


def extract(images: int, path: str, target: str) -> None:
    """In a child process: the features of a pixel file, to the file `target`."""
    prepare("auto")
    network = backbones.build(BACKBONE, SIDE, "imagenet")
    features.extract(network, pixels.PixelFile(Path(path), (SIDE, SIDE, 3)), range(images), VIEWS,
                     photographed(True), 0, Path(target), lambda done, total: None)


def _compare(data: Dataset, found: Features, size: int) -> Figure:
    truth = data.targets()
    total, right = 0, np.zeros(3, int)
    for seed in range(SEEDS):
        learned, asked = _choose(truth, size, seed)
        photos = found[learned]
        answers = (_ours(data.subset(learned.tolist()), photos, found[asked, 0]),
                   *_bare(photos[:, 0], truth[learned], found[asked, 0]))
        right += [int((answer == truth[asked]).sum()) for answer in answers]
        total += len(asked)
    ours, plain, searched = (100 * int(each) / total for each in right)
    return Figure(f"{size} photos a class: top-1 above logistic regression", 0, 100 * int(right[0] - right[1]) / total,
                  " points", at_least=True,
                  detail=f"{ours:.2f} %; C = 1 {plain:.2f} %, cross-validated C {searched:.2f} %; "
                         f"{SEEDS} seeds, {total} answers")


def _choose(truth: NDArray[np.int32], size: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of `size` photos of each class to learn from, and of others to ask."""
    rng = np.random.default_rng(seed)
    shuffled = [rng.permutation(np.flatnonzero(truth == label)) for label in range(truth.max() + 1)]
    return (np.concatenate([photos[:size] for photos in shuffled]),
            np.concatenate([photos[size : size + ASKED] for photos in shuffled]))


def _ours(data: Dataset, photos: Features, asked: Features) -> NDArray[np.int64]:
    """The answers of the head that `edgekit train` would fit to these photos."""
    labels, truth = len(data.labels or ()), data.targets()
    examples = head.Examples(photos, head.targets_of(truth, labels, 0.0), head.weights_of(truth, labels, "none"))
    strength, _, _ = head.choose(examples, truth, folds(data, head.FOLDS, 0))
    return np.asarray(head.fit(examples, range(len(data)), strength).logits(asked).argmax(1))


def _bare(photos: Features, truth: NDArray[np.int32], asked: Features) -> list[NDArray[np.int64]]:
    """The answers of scikit-learn: with its own regularisation, and with one chosen by cross-validation."""
    plain = LogisticRegression(max_iter=1000)
    search = GridSearchCV(plain, {"C": np.logspace(-4, 4, 10)}, cv=5)
    return [model.fit(photos, truth).predict(asked) for model in (plain, search)]
