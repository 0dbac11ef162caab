"""Does this machine give the golden answers of the model?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.runtime import images, preprocess
from edgekit.runtime.classify import Classifier
from edgekit.runtime.interpreters import Engine
from edgekit.runtime.selfcheck import Answer, AnswerCheck, check_answers
from edgekit.runtime.spec import Golden, ModelSpec


@dataclass(frozen=True)
class SelfTest:
    """The answers of this machine, and what they are worth.

    `status` is `ok` or `wrong`; `detail` says more, in a sentence.
    """

    answers: tuple[Answer, ...]
    check: AnswerCheck
    status: str
    detail: str


def run(classifier: Classifier, engine: Engine) -> SelfTest:
    """Prepare and answer all golden images, and compare."""
    answers = tuple(_answer(classifier, golden) for golden in classifier.spec.golden)
    check = check_answers(classifier.spec, answers, engine.name)
    if not answers:
        return SelfTest(answers, check, "wrong", "The model carries no golden answers, so nothing is proved.")
    if not check.correct:
        return SelfTest(answers, check, "wrong", check.reason)
    largest = check.max_difference or 0.0
    detail = f"All {len(answers)} golden answers are right; the largest difference is {largest:.2g} " \
             f"(tolerance {check.tolerance:g})."
    return SelfTest(answers, check, "ok", detail)


def _answer(classifier: Classifier, golden: Golden) -> Answer:
    tensor = classifier.prepare(_image(golden, classifier.spec))
    scores = classifier.scores(tensor[None])[0]
    return Answer(hashlib.sha256(np.ascontiguousarray(tensor).tobytes()).hexdigest(), scores)


def _image(golden: Golden, spec: ModelSpec) -> NDArray[np.uint8]:
    if golden.pattern is not None:
        return preprocess.pattern(golden.pattern, spec.input.height, spec.input.width)
    return images.decode(golden.image_bytes())
