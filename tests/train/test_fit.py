"""`edgekit train`: what it writes and reports, that a seed repeats it, and what it refuses."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.core.errors import DataError, EdgekitError, OutputError
from edgekit.data.dataset import open_dataset
from edgekit.runtime import modelfile
from edgekit.runtime.spec import ScoreCalibration
from edgekit.train.fit import train
from edgekit.train.work import PATIENCE
from tests.keras_models import COLOURS, SIDE, images
from tests.session_models import PHOTOS, TrainedOnce


def weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Every array in a `.keras` file, by its place."""
    import h5py

    found: dict[str, NDArray[np.float32]] = {}
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def test_what_it_reports(trained: TrainedOnce) -> None:
    result = trained.result
    assert result.labels == tuple(sorted(COLOURS))
    assert sum(result.images.values()) == PHOTOS
    assert result.images["training"] == 42
    assert len(result.history) == trained.arguments["epochs"]
    assert (result.backbone, result.selection) == ("cnn", [])
    assert "16 pixels are learned from scratch" in result.reason
    assert set(result.history[0]) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert set(result.recall) == set(result.labels)
    held_out = result.images["held out"] // len(COLOURS)
    assert result.top1 == pytest.approx(sum(recall or 0 for recall in result.recall.values()) / len(COLOURS))
    assert all((recall or 0) * held_out % 1 == pytest.approx(0) for recall in result.recall.values())
    assert result.skipped == ()


def test_progress_is_live(trained: TrainedOnce) -> None:
    assert {report["stage"] for report in trained.progress} == {"epochs"}
    assert [report["done"] for report in trained.progress] == [1, 2, 3, 4, 5, 6]
    assert {report["total"] for report in trained.progress} == {6}
    told = [{name: report[name] for name in ("loss", "val_accuracy")} for report in trained.progress]
    assert told == [{name: epoch[name] for name in ("loss", "val_accuracy")} for epoch in trained.result.history]


def test_the_file_knows_how_it_is_fed(trained: TrainedOnce, photos: Path) -> None:
    spec = modelfile.read_spec(trained.result.path)
    assert spec is not None
    assert spec.labels == tuple(sorted(COLOURS))
    assert (spec.size, spec.input.channels, spec.input.dtype) == ((SIDE, SIDE), 3, "float32")
    assert (spec.preprocess.resize, spec.preprocess.crop.mode, spec.preprocess.channel_order) == (
        "bilinear-aa",
        "center",
        "RGB",
    )
    assert (spec.preprocess.mean, spec.preprocess.std) == ((0, 0, 0), (1, 1, 1))
    assert spec.output.activation == "softmax"
    assert spec.provenance.steps == ("train --backbone cnn --input-size 12 --epochs 6 --batch-size 8 --seed 3",)
    assert spec.provenance.source_sha256 == open_dataset(photos).digest()
    assert spec.provenance.tools.keys() >= {"keras", "numpy", "pillow"}
    seen = spec.provenance.trained_on
    assert seen is not None
    assert 0 <= seen.minimum < seen.mean < seen.maximum <= 255


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(trained: TrainedOnce, photos: Path, tmp_path: Path) -> None:
    again = train(photos, tmp_path / "again.keras", **trained.arguments)
    assert again.history == trained.result.history
    assert again.recall == trained.result.recall
    first, second = weights(trained.result.path), weights(again.path)
    assert first.keys() == second.keys()
    assert any(name.endswith("vars/0") for name in first)
    for name in first:
        assert np.array_equal(first[name], second[name]), name
    assert modelfile.read_spec(again.path) == modelfile.read_spec(trained.result.path)


@pytest.mark.slow
def test_another_seed_gives_another_model_and_another_split(photos: Path, trained: TrainedOnce, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {**trained.arguments, "seed": 4, "epochs": 2}
    other = train(photos, tmp_path / "other.keras", **arguments)
    assert other.history[0] != trained.result.history[0]


@pytest.mark.slow
def test_it_stops_early_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    # No network can learn labels that are drawn by chance, so the validation loss soon gets worse.
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "chance.npz", x=rng.integers(0, 256, (80, 8, 8), np.uint8), y=rng.integers(0, 2, 80))
    result = train(tmp_path / "chance.npz", tmp_path / "chance.keras", epochs=200, seed=1)
    assert len(result.history) < 100
    losses = [epoch["val_loss"] for epoch in result.history]
    assert len(result.history) - 1 - int(np.argmin(losses)) == PATIENCE
    spec = modelfile.read_spec(result.path)
    assert spec is not None
    assert (spec.preprocess.channel_order, spec.input.channels, spec.size) == ("gray", 1, (8, 8))


@pytest.mark.slow
def test_held_out_images_may_be_another_data_set(photos: Path, tmp_path: Path) -> None:
    apart, colours = images(30, 7)
    order = np.array(["red", "green", "blue"])  # another order of the same labels
    np.savez(tmp_path / "apart.npz", x=apart, y=colours, labels=order)
    result = train(
        photos, tmp_path / "model.keras", epochs=30, input_size=8, seed=0, held_out=open_dataset(tmp_path / "apart.npz")
    )
    assert result.images["held out"] == 30
    assert result.images["training"] + result.images["validation"] == PHOTOS
    assert result.top1 > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fine_tune": -1}, "Training with fine_tune -1"),
        ({"mixup": 11.0}, "Training with mixup 11"),
        ({"label_smoothing": 0.6}, "Training with label_smoothing 0.6"),
        ({"precision": 1.5}, "Training with precision 1.5"),
        ({"device": "tpu"}, "Training with device 'tpu'"),
        ({"class_weights": "some"}, "Training with class_weights 'some'"),
        ({"fine_tune": 3}, "cnn has none here"),
        ({"epochs": 0}, "Training with epochs 0"),
        ({"batch_size": 0}, "Training with batch_size 0"),
        ({"input_size": 4}, "An input of 4 pixels"),
        ({"input_size": 0}, "An input of 0 pixels"),
        ({"input_size": 1000}, "An input of 1000 pixels"),
    ],
)
def test_numbers_out_of_range(photos: Path, tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(EdgekitError, match=message):
        train(photos, tmp_path / "model.keras", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_cannot_be_written_are_refused_before_the_work(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"Cannot train into model\.h5"):
        train(photos, tmp_path / "model.h5")
    with pytest.raises(OutputError, match="nowhere does not exist"):
        train(tmp_path / "no data", tmp_path / "nowhere" / "model.keras")
    (tmp_path / "model.keras").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        train(photos, tmp_path / "model.keras")


def test_data_that_cannot_train(photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.keras"
    np.savez(tmp_path / "unlabelled.npz", x=images(10)[0])
    with pytest.raises(DataError, match=r"unlabelled\.npz has no labels"):
        train(tmp_path / "unlabelled.npz", target)
    np.savez(tmp_path / "single.npz", x=images(10)[0], y=np.zeros(10, np.int64))
    with pytest.raises(DataError, match="the single class '0'"):
        train(tmp_path / "single.npz", target)
    np.savez(tmp_path / "few.npz", x=images(4)[0], y=np.array([0, 0, 1, 1]))
    with pytest.raises(DataError, match=r"few\.npz has too few different images of 2 of its 2 classes: 0 \(2\)"):
        train(tmp_path / "few.npz", target)
    copies = np.repeat(images(2)[0], 20, axis=0)
    np.savez(tmp_path / "copies.npz", x=copies, y=np.repeat([0, 1], 20))
    with pytest.raises(DataError, match=r"0 \(1\), 1 \(1\)\.\n3 of each are the least here"):
        train(tmp_path / "copies.npz", target)
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos" / "red" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match=r"1 image cannot be read: red/cut\.png"):
        train(tmp_path / "photos", target)
    assert not target.exists()


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_ends_where_the_whole_run_did(
    trained: TrainedOnce, photos: Path, tmp_path: Path
) -> None:
    target, folder = tmp_path / "model.keras", tmp_path / "run"
    again: list[dict[str, Any]] = []

    def stop(figures: dict[str, Any]) -> None:
        if figures["done"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(photos, target, resume=folder, on_progress=stop, **trained.arguments)
    assert not target.exists()
    assert {"run.json", "decoded.json", "pixels", "checkpoint.npz"} <= {path.name for path in folder.iterdir()}
    with pytest.raises(DataError, match="holds another run: its epochs is 6, not 7"):
        train(photos, target, resume=folder, **{**trained.arguments, "epochs": 7})
    resumed = train(photos, target, resume=folder, on_progress=again.append, **trained.arguments)
    assert again[0]["done"] >= 4
    assert resumed.history == trained.result.history
    assert resumed.evaluation.scores.tolist() == trained.result.evaluation.scores.tolist()
    first, second = weights(trained.result.path), weights(target)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not folder.exists()


def test_the_report_is_of_the_images_held_out(trained: TrainedOnce) -> None:
    result, evaluation = trained.result, trained.result.evaluation
    assert len(evaluation.data) == len(evaluation.scores) == len(evaluation.truth) == result.images["held out"]
    assert evaluation.data.targets().tolist() == evaluation.truth.tolist()
    assert result.top1 == pytest.approx(float((evaluation.scores.argmax(1) == evaluation.truth).mean()))
    assert evaluation.scores.sum(1) == pytest.approx(1, abs=1e-4)


def test_few_images_are_not_calibrated(trained: TrainedOnce) -> None:
    assert trained.result.spec.output.calibration == ScoreCalibration()
    assert any("9 images are too few" in note for note in trained.result.notes)
