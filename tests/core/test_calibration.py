"""Reliability, temperature and threshold, on scores whose right answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.core import calibration


def drawn(count: int, heat: float, classes: int = 4, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits, and labels drawn with the probabilities softmax(logits / heat)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (count, classes)).astype(np.float32)
    chances = np.exp(logits / heat)
    chances /= chances.sum(1, keepdims=True)
    truth = (rng.random((count, 1)) > chances.cumsum(1)).sum(1)
    return logits, np.minimum(truth, classes - 1).astype(np.int64)


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float32]:
    powers = np.exp(logits / temperature)
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)


@pytest.mark.parametrize("heat", [0.5, 1.0, 2.5])
def test_the_temperature_that_labels_were_drawn_with_is_found(heat: float) -> None:
    logits, truth = drawn(20_000, heat)
    assert calibration.temperature(logits, truth) == pytest.approx(heat, rel=0.04)


def test_no_other_temperature_has_less_loss() -> None:
    logits, truth = drawn(3000, 1.7)
    best = calibration.temperature(logits, truth)
    least = calibration.loss(logits, truth, best)
    assert all(least <= calibration.loss(logits, truth, best * factor) for factor in (0.5, 0.9, 1.1, 2))


@pytest.mark.parametrize(("count", "gap"), [(10, 0.1), (10, 8.0), (400, 2.0)])
def test_few_right_answers_do_not_prove_certainty(count: int, gap: float) -> None:
    truth = np.arange(count) % 2
    logits = np.where(np.eye(2, dtype=bool)[truth], gap, 0).astype(np.float32)
    scores = softmax(logits, calibration.temperature(logits, truth))
    assert scores.max(1) == pytest.approx((count + 1) / (count + 2), abs=1e-3)
    assert calibration.temperature(np.zeros((0, 3), np.float32), np.zeros(0, np.int64)) == 1.0


def test_loss_is_cross_entropy() -> None:
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], np.float32))
    assert calibration.loss(logits, np.array([0, 2])) == pytest.approx(-(np.log(0.5) + np.log(0.8)) / 2, abs=1e-6)


def test_reliability_counts_every_image_once() -> None:
    scores = np.array([[0.95, 0.05], [0.92, 0.08], [0.29, 0.71], [0.35, 0.65], [0.0, 1.0]], np.float32)
    found = calibration.reliability(scores, np.array([0, 1, 1, 0, 1]))
    assert [(each.low, each.images, each.accuracy) for each in found.bins] == [
        (0.6, 1, 0.0), (0.7, 1, 1.0), (0.9, 3, pytest.approx(2 / 3)),
    ]
    assert found.error == pytest.approx((0.65 + 0.29 + 3 * abs(2.87 / 3 - 2 / 3)) / 5, abs=1e-6)


def test_calibrated_scores_have_less_error() -> None:
    logits, truth = drawn(5000, 2.5)
    before, after = (calibration.reliability(softmax(logits, heat), truth).error for heat in (1.0, 2.5))
    assert before > 0.1
    assert after < 0.03


def test_the_threshold_gives_the_precision_that_was_asked_for() -> None:
    logits, truth = drawn(2000, 1.5)
    scores = softmax(logits)
    for precision in (0.8, 0.9, 0.95):
        threshold = calibration.threshold(scores, truth, precision)
        assert threshold is not None
        sure = scores.max(1) >= threshold
        assert (scores.argmax(1) == truth)[sure].mean() >= precision
        lower = np.sort(scores.max(1)[~sure])[-1]
        assert (scores.argmax(1) == truth)[scores.max(1) >= lower].mean() < precision


def test_where_all_are_right_the_least_certain_one_is_the_threshold() -> None:
    scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], np.float32)
    assert calibration.threshold(scores, np.array([0, 1, 1]), 0.95) == pytest.approx(0.6)


def test_equal_scores_are_sure_together_or_not_at_all() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.8, 0.2]], np.float32)
    assert calibration.threshold(scores, np.array([0, 0, 1]), 0.99) == pytest.approx(0.9)
    assert calibration.threshold(scores, np.array([1, 1, 1]), 0.5) is None
