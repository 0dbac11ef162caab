"""`edgekit predict`: what a model says of images, in the order in which they were named."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.core.errors import DataError, SpecError
from edgekit.runtime.spec import OutputSpec, ScoreCalibration
from edgekit.validate.predict import predict
from tests import models


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return models.with_spec(models.tflite(tmp_path / "m.tflite"))


def labels(model: Path, *images: Path, top: int = 1) -> list[tuple[str, ...]]:
    return [tuple(item.label for item in answer.predictions) for _, answer in predict(model, images, top=top)]


def test_files_and_folders_in_order(model: Path, photos: Path) -> None:
    red, green = photos / "red", photos / "green" / "001.png"
    answers = list(predict(model, [green, red], top=2))
    assert [path for path, _ in answers] == [green, *sorted(red.iterdir())]
    assert answers[0][1].predictions[0].label == "green"
    assert {answer.predictions[0].label for _, answer in answers[1:]} == {"red"}
    scores = [item.score for item in answers[0][1].predictions]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 2


def test_folders_are_searched_recursively(model: Path, photos: Path, tmp_path: Path) -> None:
    deep = tmp_path / "photos" / "2026" / "may" / "day one"
    deep.mkdir(parents=True)
    shutil.copy(photos / "blue" / "002.png", deep / "a.PNG")
    shutil.copy(photos / "red" / "000.png", tmp_path / "photos" / "b.png")
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    found = {path.name: answer.predictions[0].label for path, answer in predict(model, [tmp_path / "photos"])}
    assert found == {"a.PNG": "blue", "b.png": "red"}


def test_all_labels_at_most(model: Path, photos: Path) -> None:
    assert labels(model, photos / "red" / "000.png", top=99)[0][0] == "red"
    assert len(labels(model, photos / "red" / "000.png", top=99)[0]) == 3


def test_one_score_for_two_labels(tmp_path: Path) -> None:
    weights = np.array([[0.1, 0.1, -0.2]], np.float32)
    said = models.spec(labels=("cold", "warm"), output=OutputSpec("scores", "sigmoid"))
    path = models.with_spec(models.tflite(tmp_path / "m.tflite", weights=weights, activation="LOGISTIC"), said)
    for name, colour in (("fire", (200, 150, 30)), ("ice", (30, 60, 200))):
        Image.fromarray(models.colour(*colour)).save(tmp_path / f"{name}.png")
    [(_, fire), (_, ice)] = predict(path, [tmp_path / "fire.png", tmp_path / "ice.png"], top=2)
    assert [item.label for item in fire.predictions] == ["warm", "cold"]
    assert [item.label for item in ice.predictions] == ["cold", "warm"]
    assert sum(item.score for item in ice.predictions) == pytest.approx(1)


def test_below_the_threshold_it_is_not_sure(tmp_path: Path) -> None:
    said = models.spec(output=OutputSpec("scores", "softmax", calibration=ScoreCalibration(threshold=0.6)))
    path = models.with_spec(models.onnx(tmp_path / "m.onnx"), said)
    for name, red in (("clear", 200), ("close", 101)):
        Image.fromarray(models.colour(red, 100, 100)).save(tmp_path / f"{name}.png")
    answers = [answer.sure for _, answer in predict(path, [tmp_path / "clear.png", tmp_path / "close.png"])]
    assert answers == [True, False]


def test_images_that_cannot_be_read(model: Path, photos: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    shutil.copy(photos / "green" / "001.png", good)
    bad.write_bytes(good.read_bytes()[:90])
    with pytest.raises(DataError, match=r"1 image cannot be read: .*bad\.png"):
        list(predict(model, [good, bad]))
    skipped: list[tuple[str, str]] = []
    answers = list(predict(model, [bad, good], max_bad=1, on_skip=lambda name, reason: skipped.append((name, reason))))
    assert [path for path, _ in answers] == [good]
    assert [name for name, _ in skipped] == [str(bad)]
    with pytest.raises(DataError, match="None of the images can be read"):
        list(predict(model, [bad], max_bad=1))


def test_what_was_found_before_a_bad_image_is_answered(model: Path, photos: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n")
    answers = predict(model, [photos / "red" / "000.png", bad])
    assert next(answers)[1].predictions[0].label == "red"
    with pytest.raises(DataError):
        next(answers)


def test_nothing_to_look_at(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"There is no image in .*empty"):
        list(predict(model, [tmp_path / "empty"]))
    with pytest.raises(DataError, match=r"There is no image at .*nothing\.png"):
        list(predict(model, [tmp_path / "nothing.png"]))


def test_a_model_without_a_spec(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(SpecError, match=r"bare\.tflite carries no edgekit spec"):
        list(predict(models.tflite(tmp_path / "bare.tflite"), [photos]))
