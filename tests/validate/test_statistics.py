"""Parity statistics, checked by hand, against scipy, and by their coverage."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.core.errors import ConversionError, DataError, ModelFileError
from edgekit.validate.statistics import ClassRecall, compare, mcnemar, paired_interval, wilson_interval

stats = pytest.importorskip("scipy.stats")
optimize = pytest.importorskip("scipy.optimize")

REFERENCE = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.6, 0.3, 0.1]], np.float32)
CANDIDATE = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.4, 0.3, 0.3], [0.2, 0.7, 0.1]], np.float32)
TRUTH = np.array([0, 1, 0, 0])


def test_every_figure_of_a_small_case() -> None:
    parity = compare(REFERENCE, CANDIDATE, TRUTH)
    # reference: right, right, wrong, right; candidate: right, wrong, right, wrong
    assert (parity.images, parity.lost, parity.gained) == (4, 2, 1)
    assert (parity.reference_top1, parity.candidate_top1, parity.agreement) == (0.75, 0.5, 0.25)
    assert parity.drop == 25
    assert parity.drop_interval == tuple(100 * bound for bound in paired_interval(4, 2, 1))
    assert parity.mcnemar_p == 1
    assert parity.max_difference == pytest.approx(0.4)
    assert parity.mean_difference == pytest.approx((0.1 + 0.1 + 0.4 + 0.4 + 0.1 + 0.1 + 0.4 + 0.4) / 12)
    assert parity.recalls == (ClassRecall(0, 3, 2 / 3, 2 / 3), ClassRecall(1, 1, 1, 0))
    assert [recall.change for recall in parity.recalls] == [0, -100]


def test_a_model_agrees_with_itself() -> None:
    parity = compare(REFERENCE, REFERENCE, TRUTH)
    assert (parity.agreement, parity.drop, parity.lost, parity.gained, parity.max_difference) == (1, 0, 0, 0, 0)


def test_without_labels_only_agreement_and_differences() -> None:
    parity = compare(REFERENCE, CANDIDATE, None)
    assert parity.agreement == 0.25
    assert parity.max_difference == pytest.approx(0.4)
    assert parity.recalls == ()
    for name in ("reference_top1", "candidate_top5", "lost", "gained", "drop", "drop_interval", "mcnemar_p"):
        assert getattr(parity, name) is None


def test_top5_counts_the_five_best() -> None:
    scores = np.tile(np.linspace(0.3, 0.0, 8, dtype=np.float32), (8, 1))  # label 0 first, label 7 last
    parity = compare(scores, scores[:, ::-1], np.arange(8))
    assert parity.reference_top5 == parity.candidate_top5 == 5 / 8
    assert parity.reference_top1 == 1 / 8


@pytest.mark.parametrize(("classes", "known"), [(2, False), (5, False), (6, True)])
def test_top5_is_left_out_where_it_could_not_miss(classes: int, known: bool) -> None:
    scores = np.eye(classes, dtype=np.float32)
    assert (compare(scores, scores, np.arange(classes)).reference_top5 is not None) == known


def test_ties_go_to_the_first_label_in_top1_and_top5() -> None:
    flat = np.full((7, 7), 1 / 7, np.float32)
    parity = compare(flat, flat, np.arange(7))
    assert parity.reference_top1 == 1 / 7
    assert parity.reference_top5 == 5 / 7
    assert parity.recalls[0].reference == 1
    assert parity.recalls[1].reference == 0


def test_top1_is_argmax_and_top5_a_stable_sort_on_random_scores() -> None:
    random = np.random.default_rng(1)
    scores = random.integers(0, 12, (500, 20)).astype(np.float32)  # many ties
    truth = random.integers(0, 20, 500)
    order = np.argsort(-scores, axis=1, kind="stable")
    parity = compare(scores, scores, truth)
    assert parity.reference_top1 == np.mean(scores.argmax(axis=1) == truth)
    assert parity.reference_top5 == np.mean((order[:, :5] == truth[:, None]).any(axis=1))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_candidate_with_nan_never_passes(value: float) -> None:
    broken = CANDIDATE.copy()
    broken[1:3, 0] = value
    with pytest.raises(ConversionError, match=r"candidate's scores .* 2 of 4 images") as caught:
        compare(REFERENCE, broken, TRUTH)
    assert caught.value.exit_code == 3
    with pytest.raises(ModelFileError, match=r"reference's scores .* 2 of 4 images"):
        compare(broken, CANDIDATE, None)


def test_scores_and_labels_that_do_not_fit() -> None:
    with pytest.raises(ConversionError, match="4×2 scores, the reference with 4×3"):
        compare(REFERENCE, CANDIDATE[:, :2], TRUTH)
    with pytest.raises(DataError, match="Image 2 has the label 3; the model knows the labels 0 to 2"):
        compare(REFERENCE, CANDIDATE, np.array([0, 1, 3, 0]))
    with pytest.raises(DataError, match="Image 0 has the label -1"):
        compare(REFERENCE, CANDIDATE, np.array([-1, 1, 2, 0]))
    with pytest.raises(DataError, match="3 labels for 4 images"):
        compare(REFERENCE, CANDIDATE, TRUTH[:3])
    with pytest.raises(DataError, match="no images"):
        compare(REFERENCE[:0], CANDIDATE[:0], TRUTH[:0])


def test_mcnemar_is_the_two_sided_binomial_test() -> None:
    for lost in (0, 1, 2, 5, 9, 40, 700):
        for gained in (0, 1, 3, 5, 17, 690, 3000):
            if lost + gained:
                expected = stats.binomtest(lost, lost + gained, 0.5).pvalue
                assert mcnemar(lost, gained) == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert mcnemar(0, 0) == 1
    assert mcnemar(6, 0) == pytest.approx(2 / 64)


def test_interval_is_the_score_interval() -> None:
    """At each bound the score test must give z exactly; its variance is found here by maximising the likelihood."""
    for images, lost, gained in ((44, 10, 1), (100, 3, 3), (467, 2, 1), (1797, 30, 24)):
        for delta in paired_interval(images, lost, gained):
            counts = np.array([lost, gained, images - lost - gained])
            low, high = max(0.0, -delta), (1 - delta) / 2

            def loss(rate: float, counts: NDArray[np.int_] = counts, delta: float = delta) -> float:
                return -float(counts @ np.log([rate + delta, rate, 1 - 2 * rate - delta]))

            rate = optimize.minimize_scalar(loss, bounds=(low + 1e-12, high - 1e-12), method="bounded",
                                            options={"xatol": 1e-12}).x
            z = (lost - gained - images * delta) / np.sqrt(images * (2 * rate + delta - delta**2))
            assert abs(z) == pytest.approx(1.959964, rel=1e-4)


def test_interval_of_identical_answers_has_its_closed_form() -> None:
    z = stats.norm.ppf(0.975)
    for images in (1, 30, 467, 10000):
        lower, upper = paired_interval(images, 0, 0)
        assert upper == pytest.approx(z**2 / (images + z**2))
        assert lower == pytest.approx(-upper)


def test_interval_at_the_ends() -> None:
    assert paired_interval(30, 30, 0)[1] == 1
    assert paired_interval(30, 0, 30)[0] == -1
    assert paired_interval(30, 30, 0)[0] == pytest.approx(-paired_interval(30, 0, 30)[1])
    for images, lost, gained in ((30, 4, 1), (1000, 7, 30)):
        lower, upper = paired_interval(images, lost, gained)
        assert -1 < lower < (lost - gained) / images < upper < 1


@pytest.mark.parametrize(("images", "loss_rate", "gain_rate"), [
    (100, 0.05, 0.03), (100, 0.03, 0.03), (467, 0.01, 0.01), (467, 0.02, 0.01), (467, 0.03, 0.0), (1797, 0.02, 0.01),
])
def test_interval_covers_the_true_drop(images: int, loss_rate: float, gain_rate: float) -> None:
    """Exact coverage, over all outcomes that matter; the tail that lets bad candidates pass stays near 2.5 %."""
    largest = 80
    lost, gained = np.meshgrid(np.arange(largest), np.arange(largest), indexing="ij")
    counts = np.stack([lost, gained, images - lost - gained], axis=-1)
    chances = stats.multinomial.pmf(counts, images, [loss_rate, gain_rate, 1 - loss_rate - gain_rate])
    assert chances.sum() > 0.999
    likely = chances > 1e-7
    covered = missed_above = 0.0
    for one_lost, one_gained, chance in zip(lost[likely], gained[likely], chances[likely], strict=True):
        lower, upper = paired_interval(images, int(one_lost), int(one_gained))
        covered += chance * (lower <= loss_rate - gain_rate <= upper)
        missed_above += chance * (upper < loss_rate - gain_rate)
    assert covered > 0.94
    assert missed_above < 0.028


def test_wilson_interval() -> None:
    for images, hits in ((10, 10), (60, 60), (30, 0), (467, 460), (1797, 1780)):
        expected = stats.binomtest(hits, images).proportion_ci(0.95, method="wilson")
        assert wilson_interval(images, hits / images) == pytest.approx((expected.low, expected.high), abs=1e-12)
