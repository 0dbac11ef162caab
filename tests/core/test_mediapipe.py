"""MediaPipe Tasks, which apps use, understands edgekit's files: labels, scores, normalisation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.convert.run import convert
from edgekit.runtime.classify import Answer, Classifier
from edgekit.runtime.spec import OutputSpec, Preprocess
from tests import models

if TYPE_CHECKING:
    from tests.conftest import Needs

# In a process of its own: MediaPipe brings native code that need not meet LiteRT's.
CLASSIFY = """
import json, sys
sys.modules["tensorflow"] = None  # it would import it for its documentation
import mediapipe, numpy
from mediapipe.tasks.python import BaseOptions, vision

images, answers = numpy.load(sys.argv[1]), {}
for path in sys.argv[2:]:
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=path))
    with vision.ImageClassifier.create_from_options(options) as classifier:
        wrapped = [mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image) for image in images]
        found = [classifier.classify(image) for image in wrapped]
    answers[path] = [[(each.category_name, each.score) for each in one.classifications[0].categories] for one in found]
print(json.dumps(answers))
"""
NAMES = ("float", "float32 in", "normalised", "int8", "dynamic", "float16", "binary")


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    """Of the models' input size, so that nobody resizes; uint8 [12, 8, 8, 3]."""
    rng = np.random.default_rng(0)
    colours = rng.integers(40, 216, (12, 1, 1, 3))
    return np.asarray(colours + rng.integers(-20, 20, (12, models.SIDE, models.SIDE, 3)), np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, images: NDArray[np.uint8]) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("mediapipe")
    np.savez(folder / "images.npz", x=images)
    paths = {name: folder / f"{name.replace(' ', '-')}.tflite" for name in NAMES}
    source = models.with_spec(models.tflite(folder / "source.tflite"))
    convert(source, paths["float"])
    convert(source, paths["float32 in"], io="float32")
    convert(source, paths["int8"], quantize="int8", calibrate=folder / "images.npz")
    convert(source, paths["dynamic"], quantize="dynamic")
    convert(source, paths["float16"], quantize="float16")
    preprocess = Preprocess("bilinear-aa", mean=(127.5,) * 3, std=(0.5,) * 3)  # MediaPipe has none per channel
    models.with_spec(models.tflite(paths["normalised"]), models.spec(preprocess=preprocess))
    binary = models.tflite(paths["binary"], activation="LOGISTIC", weights=np.array([[0.02, 0, -0.02]], np.float32))
    models.with_spec(binary, models.spec(labels=("cold", "warm"), output=OutputSpec("scores", "sigmoid")))
    return paths


@pytest.fixture(scope="module")
def answers(
    needs: Needs, files: dict[str, Path], images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[list[tuple[str, float]]]]:
    """For each file and image MediaPipe's labels with their scores, best first."""
    needs.module("mediapipe")
    needs.library("libEGL.so.1", apt="libegl1 libgles2")
    needs.library("libGLESv2.so.2", apt="libegl1 libgles2")
    stack = tmp_path_factory.mktemp("images") / "images.npy"
    np.save(stack, images)
    command = [sys.executable, "-c", CLASSIFY, str(stack), *map(str, files.values())]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return {name: found[str(path)] for name, path in files.items()}


def ours(path: Path, image: NDArray[np.uint8]) -> Answer:
    return Classifier(path).classify(image)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "binary"])
def test_the_same_labels_in_the_same_order(
    name: str, answers: dict[str, Any], files: dict[str, Path], images: NDArray[np.uint8]
) -> None:
    """Files of every scheme; `normalised` leaves the normalisation to whoever feeds it, with the metadata's numbers."""
    best = set()
    for image, answer in zip(images, answers[name], strict=True):
        mine = ours(files[name], image)
        assert [label for label, _ in answer] == [prediction.label for prediction in mine.predictions]
        np.testing.assert_allclose(
            [score for _, score in answer], [prediction.score for prediction in mine.predictions], atol=1e-5
        )
        best.add(answer[0][0])
    assert best == set(models.LABELS)


def test_int8_ranks_like_its_float_source(answers: dict[str, Any]) -> None:
    assert [answer[0][0] for answer in answers["int8"]] == [answer[0][0] for answer in answers["float"]]
    assert answers["int8"] != answers["float"]


def test_a_binary_model_has_one_score_there_that_of_the_second_label(
    answers: dict[str, Any], files: dict[str, Path], images: NDArray[np.uint8]
) -> None:
    for image, [(label, score)] in zip(images, answers["binary"], strict=True):
        scores = {prediction.label: prediction.score for prediction in ours(files["binary"], image).predictions}
        assert label == "warm"
        assert score == pytest.approx(scores["warm"], abs=1e-5)
