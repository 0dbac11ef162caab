"""A Keras model in a child process: the same answers, and nothing that stays behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import edgekit
from edgekit.core.errors import EdgekitError, SpecError
from edgekit.importers.keras_interpreter import KerasInterpreter, open_classifier
from tests import models
from tests.keras_models import probes


def test_it_answers_like_keras_itself(
    with_spec: Callable[[str], Path], keras_answers: dict[str, NDArray[np.float32]]
) -> None:
    interpreter = KerasInterpreter(with_spec("rescaled"))
    try:
        answers = interpreter.run(probes().astype(np.float32))
        np.testing.assert_allclose(answers, keras_answers["rescaled"], atol=1e-6)
    finally:
        interpreter.close()


def test_load_opens_models_of_every_kind(with_spec: Callable[[str], Path], float_tflite: Path) -> None:
    image = np.full((8, 8, 3), 90, np.uint8)
    answers = []
    for path in (with_spec("rescaled"), float_tflite):
        classifier = edgekit.load(str(path))
        answers.append(classifier.classify(image).predictions[0].label)
        if isinstance(classifier.interpreter, KerasInterpreter):
            classifier.interpreter.close()
    assert answers[0] == answers[1]


def test_a_classifier_that_nobody_closes_lets_the_process_end(with_spec: Callable[[str], Path]) -> None:
    code = "import sys, pathlib, edgekit; print(edgekit.load(pathlib.Path(sys.argv[1])).spec.task)"
    ran = subprocess.run(
        [sys.executable, "-c", code, str(with_spec("rescaled"))], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout == "classification\n"


def test_a_model_that_cannot_be_loaded_leaves_nothing_open(tmp_path: Path) -> None:
    broken = models.with_spec(models.keras(tmp_path / "broken.keras"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2):
        with pytest.raises(EdgekitError):
            open_classifier(broken)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_without_a_spec_starts_no_child(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="carries no edgekit spec"):
        open_classifier(models.keras(tmp_path / "bare.keras"))
