"""Does a runtime compute what the reference did? Its answers to the golden images, against those in the spec.

docs/spec.md, "Tolerances of the app", has the rule. Nothing here runs a model: a device checks the answers that it
has just computed, and `edgekit validate --device-report` checks them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.runtime.spec import ModelSpec, printable
from edgekit.runtime.tolerance import tolerance


@dataclass(frozen=True)
class Answer:
    """What a runtime made of one golden image.

    Attributes:
        input_sha256: digest of the tensor that it prepared (`edgekit.runtime.spec.Golden`).
        scores: its scores, float32 [labels].
    """

    input_sha256: str
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class AnswerCheck:
    """What `check_answers` found.

    Attributes:
        correct: every answer is right.
        tolerance: the largest difference that was accepted.
        max_difference: the largest that there was, over all scores; None where scores cannot be compared.
        clear: how many golden answers lead by more than twice the tolerance. Only these tell a right runtime from one
            that answers the same to everything.
        reason: what is wrong, in one sentence; empty when all is right.
    """

    correct: bool
    tolerance: float
    max_difference: float | None
    clear: int
    reason: str


def check_answers(spec: ModelSpec, answers: Sequence[Answer], delegate: str) -> AnswerCheck:
    """Compare a runtime's answers with the golden answers of the model.

    Args:
        spec: the model's spec.
        answers: the runtime's answers, in the order of `spec.golden`.
        delegate: what computed them, one of `edgekit.runtime.tolerance.DELEGATES`.
    """
    limit = tolerance(spec.scheme, delegate)
    golden = [expected.score_array() for expected in spec.golden]
    clear = sum(_lead(scores) > 2 * limit for scores in golden)
    if len(answers) != len(golden):
        return AnswerCheck(False, limit, None, clear, f"It gave {len(answers)} answers to {len(golden)} golden images.")
    if any(answer.scores.shape != scores.shape for answer, scores in zip(answers, golden, strict=True)):
        return AnswerCheck(False, limit, None, clear, f"It does not give {len(spec.labels)} scores to every image.")
    largest, wrong_inputs, wrong_scores, renamed = 0.0, 0, 0, ""
    for answer, expected, scores in zip(answers, spec.golden, golden, strict=True):
        difference = float(np.abs(answer.scores.astype(np.float64) - scores).max())
        difference = difference if np.isfinite(difference) else np.inf
        largest = max(largest, difference)
        wrong_inputs += answer.input_sha256 != expected.input_sha256
        if difference > limit:
            wrong_scores += 1
            best, should = int(answer.scores.argmax()), int(scores.argmax())
            if best != should and not renamed and _lead(scores) > 2 * limit:
                renamed = f"; “{_label(spec, should)}” became “{_label(spec, best)}”"
    total = len(golden)
    if wrong_inputs:
        reason = f"It prepared {wrong_inputs} of {total} golden images differently."
    elif largest == np.inf:
        reason = "It answers with NaN or infinity."
    elif wrong_scores:
        reason = f"{wrong_scores} of {total} answers are wrong, by up to {largest:.2g} (tolerance {limit:g}){renamed}."
    else:
        reason = ""
    return AnswerCheck(not reason, limit, largest if largest < np.inf else None, clear, reason)


def _lead(scores: NDArray[np.float32]) -> float:
    second, best = np.sort(scores.astype(np.float64))[-2:]
    return float(best - second)


def _label(spec: ModelSpec, index: int) -> str:
    return printable(spec.labels[index])[:60]
