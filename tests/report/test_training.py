"""The page of a training run: a real one, and one with everything that a run may have."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core.calibration import reliability
from edgekit.report.gallery import MOST_IMAGES
from edgekit.report.training import training_page, write_training
from edgekit.runtime.spec import ScoreCalibration
from edgekit.train.evaluation import Evaluation
from edgekit.train.run import QuantizedTraining, Trained
from edgekit.validate.statistics import wilson_interval
from tests.report.parsed import Page
from tests.session_models import TrainedOnce

SELECTION = [
    {"regularisation": 10.0**power, "loss": 0.3 - power / 100, "accuracy": 0.9, "chosen": power == 1}
    for power in range(3)
]


@pytest.fixture
def made(trained: TrainedOnce) -> Trained:
    return trained.result


def checked(made: Trained) -> Page:
    page = Page(training_page(made))
    page.check_closed()
    page.check_accessible()
    return page


def answering(made: Trained, answers: np.ndarray, certainty: np.ndarray, labels: tuple[str, ...] = ()) -> Trained:
    """The same run, had it answered like this with these best scores (the others share the rest)."""
    labels = labels or made.labels
    scores = np.repeat((1 - certainty)[:, None] / (len(labels) - 1), len(labels), 1)
    scores[np.arange(len(answers)), answers] = certainty
    found = Evaluation(made.evaluation.data, scores.astype(np.float32), made.evaluation.truth)
    top1 = float((answers == found.truth).mean())
    return dataclasses.replace(made, evaluation=found, top1=top1, labels=labels)


def test_a_real_run(made: Trained, tmp_path: Path) -> None:
    write_training(made, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    page.check_closed()
    page.check_accessible()
    held_out = len(made.evaluation.truth)
    low, high = wilson_interval(held_out, made.top1)
    assert page.all("h1")[0].text == f"trained.keras: {made.top1:.1%} right"
    assert page.all("p", "lead")[0].text == (
        f"Top-1 accuracy on {held_out} held-out images, which training never saw; the 95 % interval is "
        f"{100 * low:.1f} to {100 * high:.1f} %."
    )
    rows = page.table("Recall by class")[1:]
    assert {row[0]: row[3] for row in rows} == {label: f"{recall:.1%}" for label, recall in made.recall.items()}
    assert ["backbone", made.backbone] in [[row[0], row[1].partition(":")[0]] for row in page.table("The model")]
    assert ["steps", made.spec.provenance.steps[0]] in page.table("trained.keras")
    curves = [drawing for drawing in page.all("svg") if drawing.attributes["aria-label"].endswith("by epoch")]
    assert len(curves) == (2 if made.history else 0)


def test_wrong_answers_are_shown_surest_first(made: Trained) -> None:
    truth = made.evaluation.truth
    answers = truth.copy()
    answers[[1, 2]] = (truth[[1, 2]] + 1) % 3
    certainty = np.full(len(truth), 0.9)
    certainty[[1, 2]] = 0.6, 0.8
    page = checked(answering(made, answers, certainty))
    names = [made.evaluation.data.name(place) for place in (2, 1)]
    assert [image.attributes["alt"] for image in page.all("img")] == [f"Image {name}" for name in names]
    assert [child.text for child in page.all("figcaption")[1].children] == [
        names[0], f"it is {made.labels[truth[2]]}", f"answer: {made.labels[answers[2]]} 80.0%"
    ]
    assert f"2 of {len(truth)} held-out images, the surest first:" in page.source


def test_all_right_and_all_wrong(made: Trained) -> None:
    truth = made.evaluation.truth
    page = checked(answering(made, truth, np.full(len(truth), 0.9)))
    assert f"None: all {len(truth)} held-out images are answered rightly." in page.source
    many = np.arange(len(truth)).repeat(5)
    data = made.evaluation.data.subset(many.tolist())
    worse = dataclasses.replace(made, evaluation=Evaluation(data, made.evaluation.scores[many], truth[many]))
    page = checked(answering(worse, (truth[many] + 1) % 3, np.full(len(many), 0.9)))
    assert page.all("h1")[0].text == "trained.keras: 0.0% right"
    assert f"{len(many)} of {len(many)} held-out images; the 24 that the model is surest of:" in page.source
    assert len(page.all("img")) == MOST_IMAGES


def test_calibrated_scores(made: Trained) -> None:
    truth = made.evaluation.truth
    answers, certainty = truth.copy(), np.full(len(truth), 0.7)
    answers[0], certainty[0], certainty[1] = (truth[0] + 1) % 3, 0.4, 0.5
    found = answering(made, answers, certainty)
    output = dataclasses.replace(made.spec.output, calibration=ScoreCalibration(2.0, 0.5))
    page = checked(dataclasses.replace(found, spec=dataclasses.replace(made.spec, output=output)))
    number = len(truth)
    assert "The logits are divided by a temperature of 2." in page.source
    assert (
        f"Below a best score of 0.5 the answer is “not sure”: {number - 1} of {number} images "
        f"({(number - 1) / number:.1%}) are answered surely; {number - 1} of these (100.0%) are right."
    ) in page.source
    # Before: p² / Σ p², with the two other labels sharing the rest.
    before = certainty**2 / (certainty**2 + 2 * ((1 - certainty) / 2) ** 2)
    errors = [
        100 * reliability(answering(made, answers, each).evaluation.scores, truth).error for each in (certainty, before)
    ]
    said = page.all("figcaption")[0].text
    assert said.endswith(f"error: {errors[0]:.1f} points (calibrated), {errors[1]:.1f} points (as trained).")


def test_without_calibration(made: Trained) -> None:
    output = dataclasses.replace(made.spec.output, calibration=ScoreCalibration())
    page = checked(dataclasses.replace(made, spec=dataclasses.replace(made.spec, output=output)))
    assert "There is no threshold: the model always names a label." in page.source
    assert "temperature" not in page.source
    assert "points (" not in page.all("figcaption")[0].text  # there is one line, which needs no name


def test_a_head_that_was_fitted(made: Trained) -> None:
    said: dict[str, Any] = {"history": [], "selection": SELECTION, "notes": ("a <note>",)}
    said |= {"backbone": "big<net>", "reason": "photos"}
    page = checked(dataclasses.replace(made, **said))
    assert not [heading for heading in page.all("h2") if heading.text == "Learning curve"]
    assert [heading for heading in page.all("h2") if heading.text == "Choice of the regularisation"]
    labels = [drawing.attributes["aria-label"] for drawing in page.all("svg")]
    assert labels[-2:] == [f"{figure} of the cross-validation by regularisation" for figure in ("loss", "accuracy")]
    assert ["backbone", "big<net>: photos"] in page.table("The model")
    assert page.all("ul")[0].text == "a <note>"
    assert "epochs" not in [row[0] for row in page.table("The model")]


def test_many_hostile_labels(made: Trained) -> None:
    truth = made.evaluation.truth
    labels = tuple(f"<script>{number}</script>" for number in range(1000))
    page = checked(answering(made, (truth + 500) % 1000, np.full(len(truth), 0.5), labels))
    assert "<script>" not in page.source
    rows = page.table("Recall by class, worst first; of 997 classes no image was held out")
    assert [row[0] for row in rows[1:]] == list(labels[:3])
    assert page.table("Answers to ")[0] == ["label", "answer", "images"]


def test_quantization_aware_training_has_a_part_of_its_own(made: Trained) -> None:
    history = [{"loss": 0.5, "accuracy": 0.8, "val_loss": 0.4, "val_accuracy": 0.9}] * 2
    quantized = QuantizedTraining(True, 0.9, 0.5, 0.8, 1.0, (0.7, 0.4), history)
    kept = dataclasses.replace(made, quantized=quantized)
    rows = checked(kept).table("On the")[1:]
    assert [row[:2] for row in rows] == [
        ["in float, before", "90.0%"], ["as int8, before", "50.0%"], ["as int8, after", "80.0%"]
    ]
    assert "and is kept" in training_page(kept)
    left = dataclasses.replace(made, quantized=dataclasses.replace(quantized, kept=False, top1=0.5))
    assert len(checked(left).table("On the")[1:]) == 2
    assert "so the weights are those of before" in training_page(left)
    assert "Quantization-aware training" not in training_page(made)


def test_held_out_images_that_may_have_been_seen_are_said_to_be(made: Trained) -> None:
    page = checked(dataclasses.replace(made, unseen=False))
    assert "which the model may have seen in a training before this one" in page.all("p", "lead")[0].text
