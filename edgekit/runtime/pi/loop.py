"""Frame in, answer out, again and again."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.runtime.classify import Answer, Classifier, rank
from edgekit.runtime.pi.frames import Frame


@dataclass(frozen=True)
class Result:
    """One frame with its answer, and what it took in milliseconds."""

    frame: Frame
    answer: Answer
    preprocess_ms: float
    inference_ms: float


class Output(Protocol):
    """Something that results go to. It must not take long: the next frame waits."""

    def show(self, result: Result) -> None:
        """Take one result."""
        ...


class Smoother:
    """Exponential smoothing of scores: each new answer is mixed with those before it.

    Args:
        weight: of what was before, from 0 (no smoothing) to below 1.
    """

    def __init__(self, weight: float) -> None:
        self._weight = np.float32(weight)
        self._scores: NDArray[np.float32] | None = None

    def __call__(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The smoothed scores, float32 [labels]; the first ones are as they are."""
        if self._scores is not None and self._weight:
            scores = self._weight * self._scores + (1 - self._weight) * scores
        self._scores = scores
        return scores


class Loop:
    """Classifies frames and hands the results to the outputs.

    Args:
        classifier: the model.
        outputs: where results go, in this order.
        top: how many labels an answer has.
        threshold: below it the best score is "not sure"; None takes the model's own.
        smooth: see Smoother.
    """

    def __init__(self, classifier: Classifier, outputs: Sequence[Output], *, top: int = 3,
                 threshold: float | None = None, smooth: float = 0.0) -> None:
        self._classifier, self._outputs, self._top = classifier, outputs, top
        self._smoother = Smoother(smooth)
        self._spec = classifier.spec
        if threshold is not None:
            calibration = dataclasses.replace(self._spec.output.calibration, threshold=threshold)
            output = dataclasses.replace(self._spec.output, calibration=calibration)
            self._spec = dataclasses.replace(self._spec, output=output)

    def run(self, frames: Iterable[Frame | None], between: Callable[[], None] = lambda: None) -> int:
        """Classify all frames (None: there was none yet), calling `between` after each; gives how many there were."""
        count = 0
        for frame in frames:
            if frame is not None:
                result = self.classify(frame)
                for output in self._outputs:
                    output.show(result)
                count += 1
            between()
        return count

    def classify(self, frame: Frame) -> Result:
        """The answer to one frame."""
        begin = time.perf_counter()
        tensor = self._classifier.prepare(frame.pixels)
        prepared = time.perf_counter()
        scores = self._classifier.scores(tensor[None])[0]
        answered = time.perf_counter()
        answer = rank(self._smoother(scores), self._spec, self._top)
        return Result(frame, answer, (prepared - begin) * 1e3, (answered - prepared) * 1e3)
