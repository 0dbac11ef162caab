"""The gate's verdicts: which differences pass, fail, or need more images."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.core.errors import EdgekitError
from edgekit.validate.gate import FAIL, INCONCLUSIVE, PASS, Gate, Judgement, judge
from edgekit.validate.statistics import Parity


def verdict(images: int, lost: int, gained: int, gate: Gate | None = None) -> Judgement:
    parity = Parity(images, 1 - (lost + gained) / images, 0.1, 0.01, lost=lost, gained=gained)
    return judge(parity, gate or Gate(), latency_ms=5.0, size_bytes=1_000_000)


def unlabelled(images: int, differing: int, gate: Gate | None = None) -> Judgement:
    parity = Parity(images, 1 - differing / images, 0.1, 0.01)
    return judge(parity, gate or Gate(), latency_ms=5.0, size_bytes=1_000_000)


@pytest.mark.parametrize(("images", "lost", "gained", "outcome"), [
    # identical answers: proof needs images, not luck
    (30, 0, 0, INCONCLUSIVE), (234, 0, 0, INCONCLUSIVE), (467, 0, 0, PASS), (10000, 0, 0, PASS),
    # the usual int8 candidate on a test set of usual size
    (467, 2, 1, INCONCLUSIVE), (1000, 2, 1, PASS), (1797, 9, 9, PASS), (10000, 60, 30, PASS),
    # a real loss
    (30, 5, 0, FAIL), (30, 10, 0, FAIL), (100, 10, 0, FAIL), (467, 10, 0, FAIL), (1797, 60, 30, FAIL),
    # significantly worse, but by less than the limit
    (1797, 9, 0, PASS), (10000, 30, 5, PASS),
    # more than the limit was seen, and it may be chance
    (30, 3, 0, INCONCLUSIVE), (100, 5, 1, INCONCLUSIVE), (467, 8, 2, INCONCLUSIVE),
    # more than the limit was seen, the interval reaches below it, and McNemar says that it is no chance
    (467, 6, 0, FAIL), (1000, 20, 5, FAIL),
    # a better candidate
    (30, 0, 5, PASS), (467, 0, 1, PASS),
])
def test_drop(images: int, lost: int, gained: int, outcome: str) -> None:
    assert verdict(images, lost, gained).outcome == outcome


def test_a_worse_candidate_is_never_judged_better() -> None:
    order = [PASS, INCONCLUSIVE, FAIL]
    for images in (30, 100, 467, 1797):
        outcomes = [order.index(verdict(images, lost, 2).outcome) for lost in range(28)]
        assert outcomes == sorted(outcomes)


def test_reason_of_a_drop() -> None:
    assert verdict(467, 10, 0).reasons == [
        "The drop is 2.14 points on 467 images (10 lost, 0 gained; 95 % interval 1.17 to 3.90), "
        "above the limit of 1 (McNemar p = 0.002)."]
    assert verdict(467, 0, 0).reasons == [
        "The drop is 0.00 points on 467 images (0 lost, 0 gained; 95 % interval -0.82 to 0.82), within the limit of 1."]
    assert verdict(30, 0, 0).reasons == [
        "The drop is 0.00 points on 30 images (0 lost, 0 gained; 95 % interval -11.35 to 11.35): too few images to "
        "compare it with the limit of 1. About 381 images like these would do."]


@pytest.mark.parametrize(("images", "lost", "gained"), [(30, 0, 0), (467, 2, 1), (234, 5, 5), (100, 5, 1), (467, 8, 2)])
def test_as_many_images_as_it_says_would_do(images: int, lost: int, gained: int) -> None:
    needed = verdict(images, lost, gained).images_needed
    assert needed is not None
    outcomes = [verdict(count, round(lost * count / images), round(gained * count / images)).outcome
                for count in (int(0.8 * needed), int(1.2 * needed))]
    assert outcomes[0] == INCONCLUSIVE
    assert outcomes[1] == (PASS if 100 * (lost - gained) / images < 1 else FAIL)


def test_identical_answers_need_exactly_as_many_as_it_says() -> None:
    assert verdict(30, 0, 0).images_needed == 381
    assert (verdict(380, 0, 0).outcome, verdict(381, 0, 0).outcome) == (INCONCLUSIVE, PASS)


@pytest.mark.parametrize(("images", "lost", "limit"), [(100, 1, 1.0), (1000, 10, 1.0), (1000, 7, 0.7), (50, 0, 0.0)])
def test_a_drop_at_the_limit_is_never_decided(images: int, lost: int, limit: float) -> None:
    judgement = verdict(images, lost, 0, Gate(max_drop=limit))
    assert judgement.outcome == INCONCLUSIVE
    assert judgement.images_needed is None
    assert "too close to the limit to say how many would do" in judgement.reasons[0]


def test_the_limit_is_the_users() -> None:
    assert verdict(1797, 60, 30, Gate(max_drop=5)).outcome == PASS
    assert verdict(467, 0, 0, Gate(max_drop=0.5)).outcome == INCONCLUSIVE
    assert verdict(1000, 9, 1, Gate(max_drop=0)).outcome == FAIL


@pytest.mark.parametrize(("images", "differing", "outcome"), [
    (100, 0, INCONCLUSIVE), (189, 0, PASS), (467, 3, PASS), (467, 5, INCONCLUSIVE), (467, 20, FAIL), (1000, 10, PASS),
    (1000, 20, INCONCLUSIVE), (1000, 40, FAIL), (30, 5, FAIL),
])
def test_agreement_of_98_per_cent_applies_without_labels(images: int, differing: int, outcome: str) -> None:
    assert unlabelled(images, differing).outcome == outcome


def test_reason_of_an_agreement() -> None:
    assert unlabelled(467, 20).reasons == [
        "The models agree on 95.72 % of 467 images (95 % interval 93.48 to 97.21), below the limit of 98."]
    judgement = unlabelled(100, 0)
    assert judgement.reasons == [
        "The models agree on 100.00 % of 100 images (95 % interval 96.30 to 100.00): too few images to compare it with "
        "the limit of 98. About 189 images like these would do."]
    assert judgement.images_needed == 189


def test_agreement_is_checked_with_labels_only_when_asked() -> None:
    assert verdict(1797, 100, 100, Gate(max_drop=3)).outcome == PASS
    both = verdict(1797, 100, 100, Gate(max_drop=3, min_agreement=95))
    assert both.outcome == FAIL
    assert [reason.split()[1] for reason in both.reasons] == ["models"]
    assert unlabelled(467, 20, Gate(min_agreement=90)).outcome == PASS


def test_latency_and_size_are_hard_limits() -> None:
    assert verdict(467, 0, 0, Gate(max_latency_ms=5, max_size_bytes=1_000_000)).outcome == PASS
    judgement = verdict(467, 0, 0, Gate(max_latency_ms=4.9, max_size_bytes=999_999))
    assert judgement.outcome == FAIL
    assert judgement.reasons == ["The latency is 5 ms, above the limit of 4.9 ms.",
                                 "The size is 1,000,000 bytes, above the limit of 999,999 bytes."]


def test_a_limit_on_a_latency_that_cannot_be_measured_is_not_passed() -> None:
    parity = Parity(467, 1.0, 0.0, 0.0, lost=0, gained=0)
    assert judge(parity, Gate(), None, 1).outcome == PASS
    judgement = judge(parity, Gate(max_latency_ms=5), None, 1)
    assert judgement == Judgement(INCONCLUSIVE, ["The latency was not measured; the limit is 5 ms."], None)


def test_failing_beats_inconclusive_and_inconclusive_beats_passing() -> None:
    failed = verdict(30, 0, 0, Gate(max_size_bytes=1))
    assert (failed.outcome, failed.images_needed, len(failed.reasons)) == (FAIL, None, 1)
    undecided = verdict(30, 0, 0, Gate(max_size_bytes=10**9))
    assert (undecided.outcome, undecided.images_needed, len(undecided.reasons)) == (INCONCLUSIVE, 381, 1)
    passed = verdict(467, 0, 0, Gate(max_size_bytes=10**9))
    assert (passed.outcome, len(passed.reasons)) == (PASS, 2)


def test_images_needed_satisfies_every_check() -> None:
    assert verdict(30, 0, 0, Gate(min_agreement=98)).images_needed == 381
    assert verdict(30, 0, 0, Gate(min_agreement=99.5)).images_needed == 765
    assert verdict(30, 0, 0, Gate(min_agreement=100)).images_needed is None


@pytest.mark.parametrize("limits", [
    {"max_drop": -1}, {"max_drop": float("nan")}, {"max_drop": 101}, {"min_agreement": 101}, {"max_latency_ms": -1},
    {"max_size_bytes": -5},
])
def test_impossible_limits_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(EdgekitError, match=f"The gate's {next(iter(limits))} is") as caught:
        Gate(**limits)
    assert caught.value.exit_code == 2


def test_an_agreement_that_is_a_share_is_no_gate_that_everything_passes() -> None:
    with pytest.raises(EdgekitError, match=r"min_agreement is 0.98 %") as caught:
        Gate(min_agreement=0.98)
    assert caught.value.hint == "It is in per cent: 98 for a share of 0.98."


def test_the_limits_that_apply() -> None:
    assert Gate().limits(labelled=True) == {"max_drop": 1.0}
    assert Gate().limits(labelled=False) == {"min_agreement": 98.0}
    strict = Gate(min_agreement=99, max_size_bytes=10)
    assert strict.limits(labelled=False) == {"min_agreement": 99, "max_size_bytes": 10}
