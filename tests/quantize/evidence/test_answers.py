"""What the float model itself says: a small network by hand, fed rightly and wrongly."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.quantize.evidence import answers
from edgekit.quantize.evidence.finding import Finding
from edgekit.runtime.spec import ModelSpec
from tests.keras_models import images
from tests.session_models import spec

PIXELS, TRUTH = images(90, 3)


def network(mean: float, std: float, activation: str = "relu6", gain: float = 8.0) -> answers.Run:
    """The core of a model that wants (x − 127.5) / 127.5 and whose spec says this mean and std."""

    def run(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        values = (pixels - mean) / std
        hidden = np.maximum(3 * values + 1.5, 0)
        if activation == "relu6":  # and what values above 1, which it never saw, do to it
            hidden = np.minimum(hidden, 6) - 2 * np.clip(3 * values - 3, 0, 6)
        logits = gain * hidden.mean((1, 2)).astype(np.float64)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)

    return run


def said(mean: float, std: float) -> ModelSpec:
    return spec(preprocess=dataclasses.replace(spec().preprocess, mean=(mean,) * 3, std=(std,) * 3))


def examined(
    mean: float, std: float, truth: NDArray[np.int64] | None = TRUTH, activation: str = "relu6", **changes: bool
) -> list[Finding]:
    run, made = network(mean, std, activation), said(mean, std)
    found = answers.read(run(PIXELS.astype(np.float32)), truth, made)
    return list(answers.examine(found, PIXELS, run, made, **changes))


@pytest.mark.parametrize("truth", [TRUTH, None], ids=["labelled", "unlabelled"])
def test_a_model_that_is_fed_rightly(truth: NDArray[np.int64] | None) -> None:
    assert examined(127.5, 127.5, truth) == examined(127.5, 127.5, truth, "relu") == []


@pytest.mark.parametrize(("mean", "std"), [(0, 1), (127.5, 10)])
def test_labels_prove_that_mean_and_std_are_wrong(mean: float, std: float) -> None:
    [found] = examined(mean, std)
    assert (found.kind, found.level) == ("feeding", "refusal")
    assert found.what.startswith(
        f"The spec says mean {mean} and std {std}, but the float model knows these images better with pixels scaled to "
    )
    assert found.effect.startswith("It is then right on 100.0% of them, and on ")


def test_without_labels_answers_tell_it_less_surely() -> None:
    [found] = examined(0, 1, None)
    assert (found.kind, found.level) == ("feeding", "warning")
    assert "with pixels scaled to " in found.what
    assert " nats about the image" in found.effect


@pytest.mark.parametrize("truth", [TRUTH, None], ids=["labelled", "unlabelled"])
def test_values_many_times_too_large_are_told_though_the_best_score_stays(truth: NDArray[np.int64] | None) -> None:
    """ReLU keeps the order of the scores, so the answers stay right: only how sure they are tells."""
    [found] = examined(0, 1, truth, "relu")
    assert (found.kind, found.level) == ("feeding", "warning")
    assert found.effect.startswith("As it is fed now its scores are all 0 or 1")


def test_other_feedings_are_tried_only_where_there_is_doubt() -> None:
    calls = 0
    right = network(127.5, 127.5)

    def counted(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal calls
        calls += 1
        return right(pixels)

    made = said(127.5, 127.5)
    found = answers.read(right(PIXELS.astype(np.float32)), TRUTH, made)
    assert list(answers.examine(found, PIXELS, counted, made, only_if_doubtful=True)) == []
    assert calls == 0
    assert list(answers.examine(found, PIXELS, counted, made)) == []
    assert calls == 3  # as it is fed, again, it is not
    assert [one.level for one in examined(0, 1, only_if_doubtful=True)] == ["refusal"]


def test_labels_in_another_order() -> None:
    [found] = examined(127.5, 127.5, (TRUTH + 1) % 3)
    assert (found.kind, found.level) == ("answers", "warning")
    assert found.what == "The float model itself gets only 0.0% of the calibration images right."
    assert found.effect == "It is 100% sure of its answers."


def test_one_answer_to_everything() -> None:
    run, made = network(127.5, 127.5), said(127.5, 127.5)
    red = PIXELS[TRUTH == 0]
    found = answers.read(run(red.astype(np.float32)), None, made)
    [finding] = answers.examine(found, red, run, made)
    assert finding.what == "The float model answers 'red' to every image."
    labelled = dataclasses.replace(found, truth=np.zeros(len(red), np.int64))
    assert list(answers.examine(labelled, red, run, made)) == []


def test_a_single_sigmoid_and_logits() -> None:
    """A gray image; is it bright?"""
    made = spec("gray")
    gray = np.random.default_rng(0).integers(0, 256, (60, 1, 1, 1)).astype(np.uint8) * np.ones((1, 12, 12, 1), np.uint8)

    def run(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(1 / (1 + np.exp(-np.clip(20 * (pixels / 255 - 0.5), -700, 700).mean((1, 2)))), np.float32)

    found = answers.read(run(gray.astype(np.float32)), None, made)
    assert found.scores.shape == (60, 2)
    assert 0 < found.margin < answers.SATURATED
    assert list(answers.examine(found, gray, run, made)) == []
    logits = dataclasses.replace(made, output=dataclasses.replace(made.output, activation="logits"))
    assert answers.read(np.full((30, 1), -90.0, np.float32), None, logits).margin == 90


@pytest.mark.parametrize("accuracy", [0.1, 0.75, 0.95])
def test_thousands_of_images(accuracy: float) -> None:
    truth = np.arange(5000) % 3
    scores = np.full((5000, 3), 0.1, np.float32)
    scores[np.arange(5000), np.where(np.arange(5000) < accuracy * 5000, truth, (truth + 1) % 3)] = 0.8
    found = answers.Answers(scores, truth, 2.0)
    pixels = np.zeros((5000, 1, 1, 3), np.uint8)
    seen = list(answers.examine(found, pixels, lambda values: scores[: len(values)], said(0, 1), only_if_doubtful=True))
    assert any("itself gets only" in finding.what for finding in seen) == (accuracy < 0.5)


def test_a_rare_class_does_not_make_a_good_model_doubtful() -> None:
    truth = np.array([0] * 195 + [1] * 5)
    given = np.array([0] * 196 + [1] * 4)
    scores = np.where(np.eye(3)[given] == 1, 0.9, 0.05).astype(np.float32)
    pixels = np.zeros((200, 1, 1, 3), np.uint8)

    def examine(scores: NDArray[np.float32]) -> list[Finding]:
        found = answers.Answers(scores, truth, 2.0)
        return list(answers.examine(found, pixels, lambda values: scores[: len(values)], said(0, 1),
                                    only_if_doubtful=True))

    assert examine(scores) == []
    given[np.arange(100, 105)], given[196:] = 1, 0  # as often right, but by saying the commonest
    [finding] = examine(np.where(np.eye(3)[given] == 1, 0.9, 0.05).astype(np.float32))
    assert "itself gets only" in finding.what


def test_few_images_say_nothing() -> None:
    run, made = network(0, 1), said(0, 1)
    few = PIXELS[:19]
    assert list(answers.examine(answers.read(run(few.astype(np.float32)), TRUTH[:19], made), few, run, made)) == []
