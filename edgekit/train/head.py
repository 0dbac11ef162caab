"""A linear classifier on features: multinomial logistic regression, with its regularisation chosen by cross-validation.

Few images and features of a network that has seen a million others: fitting only the last layer, well regularised,
beats training all of them (Kornblith et al. 2019, arXiv:1805.08974; Chen et al. 2019, arXiv:1904.04232). The loss is
convex, so L-BFGS finds its one minimum in a few hundred passes over the features, and the same one every time.

Features are float32 [images, views, D]: of each image its plain view first, then augmented ones. A view counts as
its share of the image, and only plain views are asked when a head is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.core import calibration

STRENGTHS = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3)  # each starts from the one before
USUAL_STRENGTH = 10.0  # where there are too few images to choose
FOLDS = 5
WORSE = 3  # so many strengths in turn that are worse than the best end the search
ITERATIONS = 300
IN_MEMORY = 1 << 30  # bytes; more features than that are read from disk at every pass
BLOCK = 4096  # images


@dataclass(frozen=True)
class Head:
    """logits = features · `kernel` + `bias`; float32 [D, labels] and [labels]."""

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [N, labels] of features [N, D]."""
        return np.asarray(features @ self.kernel + self.bias, np.float32)


@dataclass(frozen=True)
class Tried:
    """What cross-validation found for one strength: mean loss, and share of right answers (0..1)."""

    strength: float
    loss: float
    accuracy: float


@dataclass(frozen=True)
class Examples:
    """What a head is fitted to. `targets` are probabilities by label, float32 [images, labels]; `weights` one an image.

    Label smoothing and class weights are in these two.
    """

    features: NDArray[np.float32]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]


def targets_of(truth: NDArray[np.integer], labels: int, smoothing: float) -> NDArray[np.float32]:
    """One-hot targets [N, labels], smoothed (Szegedy et al. 2016, arXiv:1512.00567)."""
    return np.asarray(np.eye(labels, dtype=np.float32)[truth] * (1 - smoothing) + smoothing / labels, np.float32)


def weights_of(truth: NDArray[np.integer], labels: int, kind: str) -> NDArray[np.float32]:
    """One weight for each image, 1 on average: all the same (`none`), or the same for every class (`balanced`)."""
    if kind == "none":
        return np.ones(len(truth), np.float32)
    counts = np.bincount(truth, minlength=labels)
    return np.asarray(len(truth) / (np.count_nonzero(counts) * counts[truth]), np.float32)


def fit(
    examples: Examples, indices: Sequence[int] | NDArray[np.integer], strength: float, start: Head | None = None
) -> Head:
    """Fit a head to the images of these indices.

    Minimises the weighted mean cross entropy plus strength/2 · |kernel|², where the features are centred and divided by
    the root of their mean variance; the bias is not regularised. Needs SciPy.
    """
    from scipy.optimize import minimize

    chosen = np.asarray(indices)
    labels, size = examples.targets.shape[1], examples.features.shape[2]
    centre, scale = _moments(examples, chosen)
    total = float(examples.weights[chosen].sum())
    in_memory = len(chosen) * examples.features[0].nbytes <= IN_MEMORY
    held = list(_blocks(examples, chosen, centre, scale)) if in_memory else None

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        parameters = flat.reshape(size + 1, labels).astype(np.float32)
        value, gradient = 0.0, np.zeros((size + 1, labels))
        for rows, targets, weights in held if held is not None else _blocks(examples, chosen, centre, scale):
            logits = rows @ parameters[:-1] + parameters[-1]
            logits -= logits.max(1, keepdims=True)
            powers = np.exp(logits)
            sums = powers.sum(1, keepdims=True)
            value += float((weights[:, None] * targets * (np.log(sums) - logits)).sum(dtype=np.float64))
            error = weights[:, None] * (powers / sums - targets)
            gradient[:-1] += rows.T @ error
            gradient[-1] += error.sum(0)
        kernel = flat.reshape(size + 1, labels)[:-1]
        gradient /= total
        gradient[:-1] += strength * kernel
        return value / total + strength / 2 * float((kernel**2).sum()), gradient.ravel()

    begin = np.zeros((size + 1, labels))
    if start is not None:
        begin[:-1] = start.kernel * scale
        begin[-1] = start.bias + centre @ start.kernel
    found = minimize(
        loss, begin.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS, "ftol": 1e-7, "gtol": 1e-5}
    )
    parameters = found.x.reshape(size + 1, labels)
    kernel = parameters[:-1] / scale
    return Head(kernel.astype(np.float32), (parameters[-1] - centre @ kernel).astype(np.float32))


def choose(
    examples: Examples,
    truth: NDArray[np.integer],
    folds: Sequence[Sequence[int]],
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[float, list[Tried], NDArray[np.float32]]:
    """Find the strength that is right most often on plain views that its head has not seen; of equals the strongest.

    With few images many strengths are right equally often, and the strong ones generalise better. That their scores are
    too timid is mended by the temperature.

    Args:
        examples: the training images.
        truth: their labels, int [N].
        folds: indices of the images that are asked in turn, while the head is fitted to all the others.

    Returns:
        The strength, what was tried, and the logits that heads of this strength give to the images of the folds, in
        their order, float32 [sum of the folds' sizes, labels].
    """
    rest = [np.setdiff1d(np.arange(len(truth)), fold) for fold in folds]
    asked = np.concatenate([np.asarray(fold) for fold in folds])
    heads: list[Head | None] = [None] * len(folds)
    tried: list[Tried] = []
    best: NDArray[np.float32] | None = None
    for number, strength in enumerate(STRENGTHS):
        heads = [fit(examples, part, strength, head) for part, head in zip(rest, heads, strict=True)]
        logits = np.concatenate(
            [head.logits(examples.features[fold, 0]) for fold, head in zip(map(np.asarray, folds), heads, strict=True)
             if head is not None]
        )
        right = float((logits.argmax(1) == truth[asked]).mean())
        found = Tried(strength, calibration.loss(logits, truth[asked]), right)
        if best is None or right > max(each.accuracy for each in tried):
            best = logits
        tried.append(found)
        if on_progress:
            on_progress(number + 1, len(STRENGTHS))
        if len(tried) > WORSE and max(each.accuracy for each in tried[-WORSE:]) < max(each.accuracy for each in tried):
            break
    assert best is not None
    return max(tried, key=lambda each: each.accuracy).strength, tried, best


Block = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def _blocks(
    examples: Examples, chosen: NDArray[np.integer], centre: NDArray[np.float32], scale: float
) -> Iterator[Block]:
    """Rows [n · views, D], centred and scaled, with the targets and weights of each."""
    views = examples.features.shape[1]
    for start in range(0, len(chosen), BLOCK):
        part = chosen[start : start + BLOCK]
        rows = (np.asarray(examples.features[part]).reshape(-1, len(centre)) - centre) / np.float32(scale)
        yield rows, examples.targets[part].repeat(views, 0), (examples.weights[part] / views).repeat(views)


def _moments(examples: Examples, chosen: NDArray[np.integer]) -> tuple[NDArray[np.float32], float]:
    """The mean of the features, float32 [D], and the root of their mean variance."""
    size = examples.features.shape[2]
    count, total, squares = 0, np.zeros(size), np.zeros(size)
    for start in range(0, len(chosen), BLOCK):
        rows = np.asarray(examples.features[chosen[start : start + BLOCK]], np.float64).reshape(-1, size)
        count += len(rows)
        total += rows.sum(0)
        squares += (rows**2).sum(0)
    mean = total / count
    variance = float(np.maximum(squares / count - mean**2, 0).mean())
    return mean.astype(np.float32), max(variance, 1e-12) ** 0.5
