from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from edgekit.runtime.classify import Answer, Classifier, Prediction
from edgekit.runtime.pi.frames import Frame
from edgekit.runtime.pi.loop import Loop, Result, Smoother
from edgekit.runtime.pi.outputs import JsonLines, TextLines
from tests import bundles, models

RED, GREEN = models.colour(250, 0, 0), models.colour(0, 250, 0)


class Kept:
    """An output that keeps what it is shown."""

    def __init__(self) -> None:
        self.results: list[Result] = []

    def show(self, result: Result) -> None:
        self.results.append(result)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return Classifier(bundles.model(tmp_path_factory.mktemp("loop") / "m.tflite"))


def frame(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], number: int = 0) -> Frame:
    return Frame("camera", number, 1764158400.25, pixels, dropped=2)


def test_smoothing() -> None:
    smooth, none = Smoother(0.75), Smoother(0)
    first, second = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    np.testing.assert_array_equal(smooth(first), first)
    np.testing.assert_array_equal(smooth(second), np.array([0.75, 0.25], np.float32))
    np.testing.assert_array_equal(smooth(second), np.array([0.5625, 0.4375], np.float32))
    assert none(first) is first
    assert none(second) is second


def test_answers_are_those_of_the_model(classifier: Classifier) -> None:
    kept, between = Kept(), []
    count = Loop(classifier, [kept], top=2).run([frame(RED), None, frame(GREEN, 1)], lambda: between.append(1))
    assert (count, len(between)) == (2, 3)
    for result, pixels in zip(kept.results, (RED, GREEN), strict=True):
        assert result.answer == classifier.classify(pixels, top=2)
        assert min(result.preprocess_ms, result.inference_ms) > 0


def test_a_smoothed_answer_lags(classifier: Classifier) -> None:
    kept = Kept()
    Loop(classifier, [kept], smooth=0.9).run([frame(RED), frame(GREEN, 1)])
    assert [result.answer.predictions[0].label for result in kept.results] == ["red", "red"]


@pytest.mark.parametrize(("threshold", "sure"), [(None, True), (0.5, True), (1.0, False)])
def test_the_threshold(classifier: Classifier, threshold: float | None, sure: bool) -> None:
    assert Loop(classifier, [], threshold=threshold).classify(frame(RED)).answer.sure is sure


RESULT = Result(frame(RED, 12), Answer((Prediction("a\x1b[31m\n", 0.91), Prediction("b", 0.09)), sure=False), 1.5, 2.25)


def test_text_lines() -> None:
    stream = io.StringIO()
    TextLines(stream).show(RESULT)
    assert stream.getvalue() == "camera: not sure: a�[31m� 91.0%  b 9.0%  (3.8 ms)\n"


def test_json_lines() -> None:
    stream = io.StringIO()
    JsonLines(stream).show(RESULT)
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()
    assert json.loads(stream.getvalue()) == {
        "source": "camera", "frame": 12, "time": "2025-11-26T12:00:00.250000Z", "sure": False,
        "labels": [{"label": "a\x1b[31m\n", "score": 0.91}, {"label": "b", "score": 0.09}],
        "preprocess_ms": 1.5, "inference_ms": 2.25, "dropped": 2,
    }


def test_no_answer_is_made_of_nothing(classifier: Classifier, tmp_path: Path) -> None:
    assert Loop(classifier, []).run([]) == 0
