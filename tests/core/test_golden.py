"""Golden answers are what the model says, and few, small and clear enough to travel with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.core import golden
from edgekit.runtime import images, preprocess
from edgekit.runtime.classify import Classifier
from edgekit.runtime.spec import PATTERNS, Golden
from tests import models

RED, GREEN, BLUE = models.colour(250, 0, 0), models.colour(0, 250, 0), models.colour(0, 0, 250)
UNCLEAR = models.colour(100, 99, 98)


@pytest.fixture(params=["tflite", "onnx"])
def classifier(request: pytest.FixtureRequest, tmp_path: Path) -> Classifier:
    make = models.tflite if request.param == "tflite" else models.onnx
    return Classifier(models.with_spec(make(tmp_path / "model", dtype="uint8"), models.spec("uint8")))


def best(answer: Golden) -> str:
    return models.LABELS[int(answer.score_array().argmax())]


def test_the_patterns_come_first(classifier: Classifier) -> None:
    found = golden.make(classifier, [])
    assert tuple(answer.pattern for answer in found) == PATTERNS
    assert all(answer.image is None for answer in found)


def test_any_runtime_can_repeat_the_answers(classifier: Classifier) -> None:
    photo = np.random.default_rng(0).integers(0, 100, (80, 120, 3), np.uint8)
    photo[..., 1] += 150
    found = golden.make(classifier, [photo, RED])
    assert len(found) == len(PATTERNS) + 2
    for answer in found:
        image = (
            preprocess.pattern(answer.pattern, models.SIDE, models.SIDE)
            if answer.pattern
            else images.decode(answer.image_bytes())
        )
        tensor = preprocess.prepare(image, classifier.spec)
        assert hashlib.sha256(tensor.tobytes()).hexdigest() == answer.input_sha256
        assert (classifier.scores(tensor[None])[0] == answer.score_array()).all()
    assert [best(answer) for answer in found[len(PATTERNS) :]] == ["green", "red"]


def test_at_most_four_images_and_different_answers_first(classifier: Classifier) -> None:
    found = golden.make(classifier, [RED, RED, RED, GREEN, RED, BLUE, GREEN])
    assert [best(answer) for answer in found[len(PATTERNS) :]] == ["red", "green", "blue", "red"]


def test_an_unclear_answer_is_left_out(classifier: Classifier) -> None:
    found = golden.make(classifier, [UNCLEAR, BLUE, UNCLEAR])
    assert [best(answer) for answer in found[len(PATTERNS) :]] == ["blue"]


def test_no_more_images_are_read_than_needed(tmp_path: Path) -> None:
    weights = np.array([[0.1, 0, 0], [0, 0.1, 0], [0, 0, 0.1], [0.08, 0.08, -0.1]], np.float32)
    spec = models.spec(labels=("red", "green", "blue", "yellow"))
    classifier = Classifier(models.with_spec(models.tflite(tmp_path / "model.tflite", weights=weights), spec))

    def read() -> Iterator[NDArray[np.uint8]]:
        yield from (RED, RED, GREEN, BLUE, models.colour(250, 250, 0), RED)
        raise AssertionError("four different answers are enough")

    assert len(golden.make(classifier, read())) == len(PATTERNS) + 4


@pytest.mark.parametrize(
    ("height", "width", "small"),
    [(64, 64, (64, 64)), (640, 480, (64, 48)), (100, 1000, (6, 64)), (2000, 2, (64, 1)), (5, 3, (5, 3))],
)
def test_images_are_made_small(classifier: Classifier, height: int, width: int, small: tuple[int, int]) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 2] = 250
    answer = golden.make(classifier, [image])[-1]
    assert images.decode(answer.image_bytes()).shape[:2] == small


def test_a_spec_holds_them_however_noisy_the_images(classifier: Classifier) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (golden.MAX_SIDE, golden.MAX_SIDE, 3), np.uint8)
    noise[..., 0] |= 192
    found = golden.make(classifier, [noise] * 4)
    assert len(found) == len(PATTERNS) + 4
    assert all(len(answer.image_bytes()) < 16_000 for answer in found[len(PATTERNS) :])
