"""A regularised linear head: it is the minimum that scikit-learn finds, and cross-validation chooses well."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.train import head
from edgekit.train.head import Examples

SIZE, LABELS = 12, 3


def points(count: int, spread: float = 2.0, views: int = 1, seed: int = 0) -> tuple[Examples, NDArray[np.int64]]:
    """Three clouds in 12 dimensions of very different scales than 1, off the origin."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 1, (LABELS, SIZE))
    truth = np.arange(count) % LABELS
    rows = 5 + 0.5 * (centres[truth][:, None] + rng.normal(0, spread, (count, views, SIZE)))
    targets = head.targets_of(truth, LABELS, 0.0)
    return Examples(rows.astype(np.float32), targets, head.weights_of(truth, LABELS, "none")), truth


@pytest.mark.parametrize("strength", [1.0, 0.1, 0.01])
def test_it_finds_what_scikit_learn_finds(strength: float) -> None:
    from sklearn.linear_model import LogisticRegression

    examples, truth = points(90)
    rows = examples.features[:, 0].astype(np.float64)
    centred = (rows - rows.mean(0)) / np.sqrt(rows.var(0).mean())
    theirs = LogisticRegression(C=1 / (strength * len(truth)), tol=1e-8, max_iter=1000).fit(centred, truth)
    ours = head.fit(examples, range(90), strength)
    logits = ours.logits(examples.features[:, 0])
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.abs(chances - theirs.predict_proba(centred)).max() < 2e-3


def test_features_on_disk_give_the_same_head(monkeypatch: pytest.MonkeyPatch) -> None:
    examples, _ = points(70, views=3)
    whole = head.fit(examples, range(70), 0.1)
    monkeypatch.setattr(head, "IN_MEMORY", 0)
    monkeypatch.setattr(head, "BLOCK", 16)
    piecewise = head.fit(examples, range(70), 0.1)
    assert np.abs(whole.kernel - piecewise.kernel).max() < 1e-3 * np.abs(whole.kernel).max()


def test_copies_of_a_view_change_nothing() -> None:
    examples, _ = points(60)
    tripled = Examples(examples.features.repeat(3, 1), examples.targets, examples.weights)
    once, thrice = (head.fit(each, range(60), 0.1).kernel for each in (examples, tripled))
    assert np.abs(once - thrice).max() < 1e-3 * np.abs(once).max()


def test_weights_are_like_copies_of_images() -> None:
    examples, truth = points(60)
    twice = np.concatenate([np.arange(60), np.flatnonzero(truth == 1)])
    copied = Examples(examples.features[twice], examples.targets[twice], np.ones(len(twice), np.float32))
    weighted = Examples(examples.features, examples.targets, np.where(truth == 1, 2, 1).astype(np.float32))

    def logits(fitted: head.Head) -> NDArray[np.float32]:
        found = fitted.logits(examples.features[:, 0])
        return np.asarray(found - found.mean(1, keepdims=True))

    wanted = logits(head.fit(copied, range(80), 0.1))
    apart = [np.abs(logits(head.fit(each, range(60), 0.1)) - wanted).max() for each in (weighted, examples)]
    assert apart[0] < 0.2 * apart[1]  # not 0: features are centred without weights


def test_balanced_weights_count_every_class_the_same() -> None:
    truth = np.array([0] * 8 + [1] * 2)
    weights = head.weights_of(truth, 3, "balanced")  # of the third class there is no image
    assert weights[truth == 0].sum() == pytest.approx(weights[truth == 1].sum())
    assert weights.mean() == pytest.approx(1)


def test_smoothed_targets_are_probabilities() -> None:
    targets = head.targets_of(np.array([2, 0]), 4, 0.2)
    assert targets.sum(1) == pytest.approx([1, 1])
    assert targets[0].tolist() == pytest.approx([0.05, 0.05, 0.85, 0.05])


def test_the_strongest_of_the_most_accurate_is_chosen() -> None:
    folds = [list(range(start, 90, 5)) for start in range(5)]
    for spread in (0.2, 2.0):
        examples, truth = points(90, spread)
        chosen, tried, logits = head.choose(examples, truth, folds)
        most = max(each.accuracy for each in tried)
        assert chosen == max(each.strength for each in tried if each.accuracy == most)
        asked = np.concatenate(folds)
        assert float((logits.argmax(1) == truth[asked]).mean()) == pytest.approx(most)
        assert [each.strength for each in tried] == list(head.STRENGTHS[: len(tried)])


def test_weak_regularisation_is_chosen_where_it_is_needed() -> None:
    # What tells the classes apart is a hundredth of the noise: only a weakly regularised head gets there.
    rng = np.random.default_rng(0)
    truth = np.arange(400) % 2
    rows = rng.normal(0, 1, (400, 1, 8)).astype(np.float32)
    rows[:, 0, 0] = 0.02 * (2 * truth - 1) + rng.normal(0, 0.004, 400)
    examples = Examples(rows, head.targets_of(truth, 2, 0.0), np.ones(400, np.float32))
    chosen, tried, _ = head.choose(examples, truth, [list(range(start, 400, 5)) for start in range(5)])
    assert chosen <= 0.03
    assert max(each.accuracy for each in tried) > tried[0].accuracy + 0.1


def test_the_head_is_judged_on_images_that_it_was_not_fitted_to() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 60)
    rows = rng.normal(0, 1, (60, 1, 200)).astype(np.float32)  # nothing to learn, and room to learn it by heart
    examples = Examples(rows, head.targets_of(truth, 2, 0.0), np.ones(60, np.float32))
    _, tried, _ = head.choose(examples, truth, [list(range(start, 60, 5)) for start in range(5)])
    assert all(each.accuracy < 0.75 for each in tried)
    assert float((head.fit(examples, range(60), 1e-3).logits(rows[:, 0]).argmax(1) == truth).mean()) == 1.0
