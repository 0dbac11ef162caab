"""The gate: may this candidate replace its reference?

The drop of top-1 accuracy passes when the whole 95 % interval of the paired drop is at most `max_drop`. It fails
when the whole interval is above, or when the observed drop is above and exact McNemar (5 %) says that the
candidate is worse at all: what was measured is too much, and it is no accident. Everything between is
inconclusive: too few images, and `images_needed` says how many would do if they went on like these. Agreement is
judged alike by its own interval. Latency and size are hard limits. One failed check fails the candidate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from edgekit.core.errors import EdgekitError
from edgekit.validate.statistics import Parity, mcnemar, paired_interval, wilson_interval

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"
UNLABELLED_MIN_AGREEMENT = 98.0
SIGNIFICANCE = 0.05
MAX_IMAGES_NEEDED = 1_000_000


@dataclass(frozen=True)
class Gate:
    """What a candidate must keep to.

    `max_drop` in points of top-1 accuracy; it applies when there are labels. `min_agreement` in per cent of the
    images; without labels it is `UNLABELLED_MIN_AGREEMENT` unless given. `max_latency_ms` for one image,
    `max_size_bytes` for the model file. None: not checked.

    Raises:
        EdgekitError: a limit that no candidate could meet, or that is no number.
    """

    max_drop: float = 1.0
    min_agreement: float | None = None
    max_latency_ms: float | None = None
    max_size_bytes: int | None = None

    def __post_init__(self) -> None:
        for name, value, lowest, highest in (
            ("max_drop", self.max_drop, 0, 100),
            ("min_agreement", self.min_agreement, 0, 100),
            ("max_latency_ms", self.max_latency_ms, 0, math.inf),
            ("max_size_bytes", self.max_size_bytes, 0, math.inf),
        ):
            if value is not None and not lowest <= value <= highest:
                raise EdgekitError(f"The gate's {name} is {value:g}.",
                                   f"It must lie between {lowest} and {highest}." if highest < math.inf
                                   else "It must be a number above 0.")
        share = self.min_agreement
        if share is not None and 0 < share <= 1:  # a gate that everything passes
            raise EdgekitError(f"The gate's min_agreement is {share:g} %, which says nothing.",
                               f"It is in per cent: {share * 100:g} for a share of {share:g}.")

    def limits(self, labelled: bool) -> dict[str, float]:
        """The limits that apply to data with labels or without, by name, as a verdict keeps them."""
        limits = {name: float(value) for name, value in vars(self).items() if value is not None}
        if not labelled:
            del limits["max_drop"]
            limits.setdefault("min_agreement", UNLABELLED_MIN_AGREEMENT)
        return limits


@dataclass(frozen=True)
class Judgement:
    """The outcome (pass, fail, inconclusive), and one line for each check that led to it.

    `images_needed` is how many images in all would decide an inconclusive outcome at the rates observed; None for
    other outcomes, and when they are too close to a limit for `MAX_IMAGES_NEEDED` to decide.
    """

    outcome: str
    reasons: list[str]
    images_needed: int | None = None


def judge(parity: Parity, gate: Gate, latency_ms: float | None, size_bytes: int) -> Judgement:
    """Judge a candidate; the rule is in the module's docstring.

    Args:
        parity: how it compares with its reference (`statistics.compare`).
        latency_ms: its median time for one image, in milliseconds; None when it cannot be measured.
        size_bytes: the size of its file.
    """
    checks: list[_Check] = []
    limits = gate.limits(labelled=parity.lost is not None)
    if parity.lost is not None and parity.gained is not None:
        checks.append(_check_drop(parity.images, parity.lost, parity.gained, gate.max_drop))
    if "min_agreement" in limits:
        checks.append(_check_agreement(parity.images, parity.agreement, limits["min_agreement"]))
    if gate.max_latency_ms is not None:
        checks.append(_check_limit("latency", latency_ms, gate.max_latency_ms, "{:.4g} ms"))
    if gate.max_size_bytes is not None:
        checks.append(_check_limit("size", size_bytes, gate.max_size_bytes, "{:,} bytes"))

    outcomes = [check.outcome for check in checks]
    outcome = FAIL if FAIL in outcomes else INCONCLUSIVE if INCONCLUSIVE in outcomes else PASS
    decisive = [check for check in checks if check.outcome == outcome]
    needed = [check.images_needed for check in decisive if check.images_needed is not None]
    return Judgement(outcome, [check.reason for check in decisive],
                     max(needed) if len(needed) == len(decisive) else None)


@dataclass(frozen=True)
class _Check:
    outcome: str
    reason: str
    images_needed: int | None = None


def _check_drop(images: int, lost: int, gained: int, limit: float) -> _Check:
    outcome, (lower, upper) = _judge_drop(images, lost, gained, limit)
    drop = 100 * (lost - gained) / images
    found = (f"The drop is {drop:.2f} points on {images} images ({lost} lost, {gained} gained; "
             f"95 % interval {lower:z.2f} to {upper:z.2f})")
    if outcome == PASS:
        return _Check(outcome, f"{found}, within the limit of {limit:g}.")
    if outcome == FAIL:
        return _Check(outcome, f"{found}, above the limit of {limit:g} (McNemar p = {mcnemar(lost, gained):.2g}).")

    def decided(count: int) -> bool:
        return _judge_drop(count, lost * count / images, gained * count / images, limit)[0] != INCONCLUSIVE

    enough = _images_needed(images, decided)
    return _Check(outcome, f"{found}: {_too_few(limit, enough)}", enough)


def _judge_drop(images: int, lost: float, gained: float, limit: float) -> tuple[str, tuple[float, float]]:
    """The outcome, and the 95 % interval of the drop in points."""
    lower, upper = (100 * bound for bound in paired_interval(images, lost, gained))
    if upper <= limit:
        outcome = PASS
    elif lower > limit or (100 * (lost - gained) / images > limit
                           and mcnemar(math.floor(lost), math.ceil(gained)) < SIGNIFICANCE):
        outcome = FAIL
    else:
        outcome = INCONCLUSIVE
    return outcome, (lower, upper)


def _check_agreement(images: int, agreement: float, limit: float) -> _Check:
    outcome, (lower, upper) = _judge_agreement(images, agreement, limit)
    found = (f"The models agree on {100 * agreement:.2f} % of {images} images "
             f"(95 % interval {lower:.2f} to {upper:.2f})")
    if outcome == PASS:
        return _Check(outcome, f"{found}, at least the limit of {limit:g}.")
    if outcome == FAIL:
        return _Check(outcome, f"{found}, below the limit of {limit:g}.")
    enough = _images_needed(images, lambda count: _judge_agreement(count, agreement, limit)[0] != INCONCLUSIVE)
    return _Check(outcome, f"{found}: {_too_few(limit, enough)}", enough)


def _judge_agreement(images: int, agreement: float, limit: float) -> tuple[str, tuple[float, float]]:
    """The outcome, and the 95 % interval of the agreement in per cent."""
    lower, upper = (100 * bound for bound in wilson_interval(images, agreement))
    return PASS if lower >= limit else FAIL if upper < limit else INCONCLUSIVE, (lower, upper)


def _check_limit(name: str, value: float | None, limit: float, form: str) -> _Check:
    if value is None:
        return _Check(INCONCLUSIVE, f"The {name} was not measured; the limit is {form.format(limit)}.")
    if value <= limit:
        return _Check(PASS, f"The {name} is {form.format(value)}, within the limit of {form.format(limit)}.")
    return _Check(FAIL, f"The {name} is {form.format(value)}, above the limit of {form.format(limit)}.")


def _images_needed(images: int, decided: Callable[[int], bool]) -> int | None:
    """The smallest number of images that decides, found by doubling and bisection; None when it is too large.

    Doubling keeps the counts of lost and gained images whole, so that a drop at the limit stays exactly there.
    """
    too_few, enough = images, 2 * images
    while not decided(enough):
        if enough >= MAX_IMAGES_NEEDED:
            return None
        too_few, enough = enough, 2 * enough
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if decided(middle) else (middle, enough)
    return enough


def _too_few(limit: float, enough: int | None) -> str:
    advice = "It is too close to the limit to say how many would do." if enough is None else \
        f"About {enough} images like these would do."
    return f"too few images to compare it with the limit of {limit:g}. {advice}"
