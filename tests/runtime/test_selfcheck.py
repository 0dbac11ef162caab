"""Answers to golden images are right within the tolerance, and what is wrong with others is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgekit.runtime import modelfile
from edgekit.runtime.selfcheck import Answer, check_answers
from edgekit.runtime.spec import ModelSpec
from tests import device_reports
from tests.device_reports import off_by


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelSpec, list[Answer]]:
    """A model's spec, and its own answers."""
    path = device_reports.model(tmp_path_factory.mktemp("model") / "model.tflite")
    spec = modelfile.read_spec(path)
    assert spec is not None
    return spec, device_reports.answers(path)


def test_its_own_answers_are_right(checked: tuple[ModelSpec, list[Answer]]) -> None:
    spec, answers = checked
    found = check_answers(spec, answers, "cpu")
    assert (found.correct, found.tolerance, found.max_difference, found.reason) == (True, 1e-4, 0.0, "")
    assert found.clear >= 3, "the images of one colour are clear"


@pytest.mark.parametrize(("delegate", "scheme", "difference", "correct"), [
    ("cpu", "none", 0.00009, True), ("cpu", "none", 0.00011, False), ("gpu", "none", 0.04, True),
    ("gpu", "none", 0.06, False), ("nnapi", "int8", 0.09, True), ("nnapi", "int8", 0.11, False),
    ("cpu", "int8", 0.099, True), ("cpu", "dynamic", 0.099, True), ("cpu", "dynamic", 0.101, False),
])
def test_the_tolerance_is_that_of_scheme_and_delegate(
    checked: tuple[ModelSpec, list[Answer]], delegate: str, scheme: str, difference: float, correct: bool,
) -> None:
    spec, answers = checked
    found = check_answers(dataclasses.replace(spec, scheme=scheme), off_by(answers, difference), delegate)
    assert found.correct == correct
    assert found.max_difference == pytest.approx(difference, abs=1e-6)
    if not correct:
        assert "6 of 6 answers are wrong" in found.reason


def test_one_wrong_answer_is_enough_and_its_label_is_named(checked: tuple[ModelSpec, list[Answer]]) -> None:
    spec, answers = checked
    turned = [*answers[:3], Answer(answers[3].input_sha256, np.roll(answers[3].scores, 1)), *answers[4:]]
    found = check_answers(spec, turned, "gpu")
    assert not found.correct
    assert "1 of 6 answers are wrong, by up to " in found.reason
    assert "“red” became “green”" in found.reason


def test_a_runtime_that_answers_the_same_to_everything_is_wrong(checked: tuple[ModelSpec, list[Answer]]) -> None:
    spec, answers = checked
    same = [Answer(answer.input_sha256, np.full(3, 1 / 3, np.float32)) for answer in answers]
    assert not check_answers(dataclasses.replace(spec, scheme="int8"), same, "nnapi").correct


def test_another_input_is_wrong_whatever_the_scores(checked: tuple[ModelSpec, list[Answer]]) -> None:
    spec, answers = checked
    found = check_answers(spec, [Answer("00" * 32, answers[0].scores), *answers[1:]], "cpu")
    assert (found.correct, found.max_difference) == (False, 0.0)
    assert found.reason == "It prepared 1 of 6 golden images differently."


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_wrong(checked: tuple[ModelSpec, list[Answer]], value: float) -> None:
    spec, answers = checked
    bad = Answer(answers[0].input_sha256, np.array([0, value, 0], np.float32))
    found = check_answers(spec, [bad, *answers[1:]], "gpu")
    assert (found.correct, found.max_difference) == (False, None)
    assert found.reason == "It answers with NaN or infinity."


def test_missing_answers_and_other_labels_are_wrong(checked: tuple[ModelSpec, list[Answer]]) -> None:
    spec, answers = checked
    assert check_answers(spec, answers[1:], "cpu").reason == "It gave 5 answers to 6 golden images."
    assert not check_answers(spec, [], "cpu").correct
    longer = [Answer(answer.input_sha256, np.append(answer.scores, np.float32(0))) for answer in answers]
    assert check_answers(spec, longer, "cpu").reason == "It does not give 3 scores to every image."


def test_patterns_alone_may_be_unclear(tmp_path: Path) -> None:
    path = device_reports.model(tmp_path / "model.tflite", clear=False, scheme="int8")
    spec = modelfile.read_spec(path)
    assert spec is not None
    answers = device_reports.answers(path)
    assert [check_answers(spec, answers, delegate).correct for delegate in ("cpu", "nnapi")] == [True, True]
    leads = [np.diff(np.sort(answer.scores)[-2:]).item() for answer in answers]
    assert check_answers(spec, answers, "nnapi").clear == sum(lead > 0.2 for lead in leads)
