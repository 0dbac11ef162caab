"""How far a candidate's answers are from its reference's: accuracy, agreement and what the numbers prove.

Both models answer the same images, so everything is paired. Of N images with known labels, b are lost (the
reference is right, the candidate wrong) and c are gained; the drop of top-1 accuracy is (b − c)/N, and the
images on which both are right or both are wrong say nothing about it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import ConversionError, DataError, ModelFileError

Z_95 = 1.959963984540054  # the 97.5 % quantile of the standard normal distribution
TOP5_MIN_CLASSES = 6


@dataclass(frozen=True)
class ClassRecall:
    """Recall of one class: of `images` images of it, the share that each model names as its top-1 answer (0..1)."""

    label: int
    images: int
    reference: float
    candidate: float

    @property
    def change(self) -> float:
        """Candidate minus reference, in points: negative is worse."""
        return 100 * (self.candidate - self.reference)


@dataclass(frozen=True)
class Parity:
    """What `compare` found. Shares and probabilities are in 0..1, the drop and its interval in points.

    Everything that needs labels is None (`recalls`: empty) without them. Top-5 is None below 6 classes too, where
    it could not miss. `lost` and `gained` are the discordant pairs, `drop` is positive when the candidate is
    worse, `drop_interval` its 95 % interval (`paired_interval`), and `mcnemar_p` the exact two-sided p-value of
    "both are right equally often". The probability differences are absolute, over all images and classes.
    """

    images: int
    agreement: float
    max_difference: float
    mean_difference: float
    reference_top1: float | None = None
    candidate_top1: float | None = None
    reference_top5: float | None = None
    candidate_top5: float | None = None
    lost: int | None = None
    gained: int | None = None
    drop: float | None = None
    drop_interval: tuple[float, float] | None = None
    mcnemar_p: float | None = None
    recalls: tuple[ClassRecall, ...] = ()


def compare(
    reference_scores: NDArray[np.float32],
    candidate_scores: NDArray[np.float32],
    truth: NDArray[np.integer] | None,
) -> Parity:
    """Compare the answers of two models to the same images.

    Among equal scores the first label is the answer, for both models and for top-1 and top-5 alike.

    Args:
        reference_scores: probabilities by label, float32 [N, C].
        candidate_scores: the candidate's, float32 [N, C].
        truth: the right labels, int [N] in 0..C−1, or None when they are not known.

    Raises:
        ConversionError: the candidate's scores are of another shape, or hold NaN or infinity.
        ModelFileError: the reference's scores hold NaN or infinity.
        DataError: there are no images, or labels that the model does not have.
    """
    images, classes = reference_scores.shape
    if images == 0:
        raise DataError("There are no images to compare the models on.")
    if candidate_scores.shape != reference_scores.shape:
        raise ConversionError(f"The candidate answers with {_shape(candidate_scores)} scores, "
                              f"the reference with {_shape(reference_scores)}.",
                              "Both must know the same labels; check that they are versions of one model.")
    if bad := _not_finite(reference_scores):
        raise ModelFileError(f"The reference's scores are not finite numbers for {bad} of {images} images.",
                             "A model that answers NaN cannot be a reference; check how it was trained or imported.")
    if bad := _not_finite(candidate_scores):
        raise ConversionError(f"The candidate's scores are not finite numbers for {bad} of {images} images.",
                              "Its conversion went wrong; try another scheme, or other calibration images.")
    differences = np.abs(reference_scores - candidate_scores)
    agreement = float(np.mean(reference_scores.argmax(axis=1) == candidate_scores.argmax(axis=1)))
    largest, mean = float(differences.max()), float(differences.mean(dtype=np.float64))
    if truth is None:
        return Parity(images, agreement, largest, mean)

    if truth.shape != (images,):
        raise DataError(f"There are {len(truth)} labels for {images} images.")
    if truth.min() < 0 or truth.max() >= classes:
        wrong = int(np.argmax((truth < 0) | (truth >= classes)))
        raise DataError(f"Image {wrong} has the label {truth[wrong]}; the model knows the labels 0 to {classes - 1}.",
                        "Check that the data has the model's classes.")
    reference_rank, candidate_rank = _rank(reference_scores, truth), _rank(candidate_scores, truth)
    reference_right, candidate_right = reference_rank == 0, candidate_rank == 0
    lost, gained = int(np.sum(reference_right & ~candidate_right)), int(np.sum(candidate_right & ~reference_right))
    lower, upper = paired_interval(images, lost, gained)
    top5 = classes >= TOP5_MIN_CLASSES
    return Parity(
        images, agreement, largest, mean,
        reference_top1=float(reference_right.mean()),
        candidate_top1=float(candidate_right.mean()),
        reference_top5=float(np.mean(reference_rank < 5)) if top5 else None,
        candidate_top5=float(np.mean(candidate_rank < 5)) if top5 else None,
        lost=lost, gained=gained,
        drop=100 * (lost - gained) / images, drop_interval=(100 * lower, 100 * upper),
        mcnemar_p=mcnemar(lost, gained),
        recalls=tuple(
            ClassRecall(int(label), int(of_class.sum()), float(reference_right[of_class].mean()),
                        float(candidate_right[of_class].mean()))
            for label in np.unique(truth) for of_class in (truth == label,)
        ),
    )


def mcnemar(lost: int, gained: int) -> float:
    """The exact two-sided p-value of McNemar's test: both models are right equally often.

    Under that hypothesis a discordant pair is lost or gained with probability ½, so this is the sign test:
    twice the binomial tail, at most 1 (McNemar 1947, Psychometrika 12:153–157; no mid-p correction).
    """
    pairs, fewer = lost + gained, min(lost, gained)
    steps = np.arange(1, fewer + 1)
    log_counts = np.concatenate(([0.0], np.cumsum(np.log((pairs - steps + 1) / steps))))  # log of (pairs over i)
    return min(1.0, 2 * float(np.exp(log_counts - pairs * math.log(2)).sum()))


def paired_interval(images: int, lost: float, gained: float) -> tuple[float, float]:
    """The 95 % score interval of the paired difference (lost − gained)/images, within −1..1.

    It holds the differences Δ that a score test at 5 % does not reject (Tango 1998, Statistics in Medicine
    17:891–908). Unlike Wald intervals it keeps its width when there are few discordant pairs or none: with
    identical answers to N images its bounds are ±z²/(N + z²). `lost` and `gained` need not be whole numbers.
    """

    def plausible(delta: float) -> bool:
        linear = (2 * images - lost + gained) * delta - lost - gained
        root = math.sqrt(linear**2 + 8 * images * gained * delta * (1 - delta))
        gain_rate = (root - linear) / (4 * images)  # most likely P(gained), were Δ the true difference
        variance = images * (2 * gain_rate + delta * (1 - delta))
        return (lost - gained - images * delta) ** 2 <= Z_95**2 * variance

    estimate = (lost - gained) / images
    return _boundary(plausible, estimate, -1.0), _boundary(plausible, estimate, 1.0)


def wilson_interval(images: int, share: float) -> tuple[float, float]:
    """The 95 % score interval of a share of the images, within 0..1 (Wilson 1927, JASA 22:209–212)."""
    centre = share + Z_95**2 / (2 * images)
    half = Z_95 * math.sqrt(share * (1 - share) / images + (Z_95 / (2 * images)) ** 2)
    scale = 1 + Z_95**2 / images
    return (0.0 if share == 0 else (centre - half) / scale), (1.0 if share == 1 else (centre + half) / scale)


def _boundary(plausible: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where plausible values end, on the way from one that is to one that may not be; by bisection."""
    if plausible(outside):
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        if plausible(middle):
            inside = middle
        else:
            outside = middle
    return inside


def _rank(scores: NDArray[np.float32], truth: NDArray[np.integer]) -> NDArray[np.intp]:
    """How many labels come before the right one: those with a higher score, or an equal one and a lower index."""
    right = np.take_along_axis(scores, truth[:, None], axis=1)
    before = (scores > right) | ((scores == right) & (np.arange(scores.shape[1]) < truth[:, None]))
    rank: NDArray[np.intp] = before.sum(axis=1)
    return rank


def _not_finite(scores: NDArray[np.float32]) -> int:
    """The number of images with a score that is NaN or infinite."""
    return int(np.sum(~np.isfinite(scores).all(axis=1)))


def _shape(scores: NDArray[np.float32]) -> str:
    return "×".join(map(str, scores.shape))
