"""From an image to ranked labels, with scores that mean what the spec says."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgekit.runtime.classify import Classifier, Prediction, check_fit, rank, to_scores
from edgekit.runtime.errors import ImageError, ModelFileError, SpecError
from edgekit.runtime.interpreters import open_interpreter
from edgekit.runtime.spec import ModelSpec, OutputSpec, Preprocess, Quantization, ScoreCalibration
from tests import models

MAKERS: list[Callable[..., Path]] = [models.tflite, models.onnx]


def output(activation: str, temperature: float = 1.0, threshold: float | None = None) -> OutputSpec:
    return OutputSpec("scores", activation, calibration=ScoreCalibration(temperature, threshold))


def scores(values: list[list[float]], spec: OutputSpec, labels: int) -> NDArray[np.float32]:
    found = to_scores(np.array(values, np.float32), spec, labels)
    assert found.dtype == np.float32
    assert found.shape == (len(values), labels)
    return found


def softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(value) for value in logits]
    return [power / sum(powers) for power in powers]


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


# --- scores


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_scores_are_passed_on_as_they_are(activation: str) -> None:
    values = [[0.1, 0.2, 0.7], [0.0, 1.0, 0.0]]
    assert (scores(values, output(activation), 3) == np.array(values, np.float32)).all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_logits_get_their_softmax(temperature: float) -> None:
    logits = [[1.0, -2.0, 0.5], [0.0, 0.0, 0.0]]
    wanted = [softmax([value / temperature for value in row]) for row in logits]
    np.testing.assert_allclose(scores(logits, output("logits", temperature), 3), wanted, rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_a_temperature_works_on_probabilities_as_on_logits(temperature: float) -> None:
    logits = [1.0, -2.0, 0.5]
    wanted = softmax([value / temperature for value in logits])
    found = scores([softmax(logits)], output("softmax", temperature), 3)
    np.testing.assert_allclose(found, [wanted], rtol=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_a_temperature_works_on_each_of_several_sigmoids(temperature: float) -> None:
    logits = [1.0, -2.0, 0.5]
    wanted = [sigmoid(value / temperature) for value in logits]
    found = scores([[sigmoid(value) for value in logits]], output("sigmoid", temperature), 3)
    np.testing.assert_allclose(found, [wanted], rtol=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("activation", ["logits", "sigmoid", "softmax"])
def test_one_score_for_two_labels_is_that_of_the_second(activation: str, temperature: float) -> None:
    logit = 0.7
    given = logit if activation == "logits" else sigmoid(logit)
    wanted = sigmoid(logit / temperature)
    found = scores([[given]], output(activation, temperature), 2)
    np.testing.assert_allclose(found, [[1 - wanted, wanted]], rtol=1e-5)


@pytest.mark.parametrize("activation", ["logits", "sigmoid", "softmax"])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.filterwarnings("error")
def test_extreme_outputs_give_scores(activation: str, temperature: float, width: int) -> None:
    """No overflow, no division by zero, nothing outside of 0..1."""
    extremes = [[-1e30, 1e30], [1e4, -1e4], [0.0, 0.0]] if activation == "logits" else [[0.0, 1.0], [1.0, 0.0]]
    found = scores([row[:width] for row in extremes], output(activation, temperature), 2)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert found[0].argmax() != found[1].argmax()


@pytest.mark.parametrize("shape", [(2, 1, 1, 3), (2, 3, 1), (2, 3)])
def test_extra_dimensions_are_dropped(shape: tuple[int, ...]) -> None:
    values = np.arange(6, dtype=np.float32).reshape(shape)
    assert (to_scores(values, output("softmax"), 3) == values.reshape(2, 3)).all()


# --- ranking


def test_the_best_come_first() -> None:
    answer = rank(np.array([0.2, 0.7, 0.1], np.float32), models.spec(), 2)
    assert answer.predictions == (
        Prediction("green", float(np.float32(0.7))),
        Prediction("red", float(np.float32(0.2))),
    )
    assert answer.sure


def test_equal_scores_keep_the_order_of_the_labels() -> None:
    answer = rank(np.array([0.25, 0.5, 0.25], np.float32), models.spec(), 5)
    assert [prediction.label for prediction in answer.predictions] == ["green", "red", "blue"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_has_no_rank(value: float) -> None:
    with pytest.raises(ModelFileError, match="NaN or infinity"):
        rank(np.array([0.2, value, 0.1], np.float32), models.spec(), 1)


@pytest.mark.parametrize(("threshold", "sure"), [(None, True), (0.5, True), (0.51, False), (0.0, True)])
def test_below_the_threshold_the_answer_is_not_sure(threshold: float | None, sure: bool) -> None:
    spec = models.spec(output=output("softmax", threshold=threshold))
    assert rank(np.array([0.5, 0.3, 0.2], np.float32), spec, 1).sure is sure


# --- the whole way


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_images_in_labels_out(tmp_path: Path, make: Callable[..., Path], dtype: str) -> None:
    path = models.with_spec(make(tmp_path / "model", dtype=dtype), models.spec(dtype))
    classifier = Classifier(path)
    assert classifier.spec == models.spec(dtype)
    for image in (models.colour(200, 50, 100), models.colour(0, 255, 250), models.colour(1, 2, 200)):
        answer = classifier.classify(image, top=3)
        wanted = models.expected(image)
        order = np.argsort(-wanted)
        assert [prediction.label for prediction in answer.predictions] == [models.LABELS[index] for index in order]
        np.testing.assert_allclose([prediction.score for prediction in answer.predictions], wanted[order], atol=1e-5)


def test_files_bytes_and_arrays_are_the_same_to_it(tmp_path: Path) -> None:
    classifier = Classifier(str(models.with_spec(models.tflite(tmp_path / "model.tflite"))))
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    wanted = classifier.classify(pixels)
    for image in (tmp_path / "photo.png", str(tmp_path / "photo.png"), (tmp_path / "photo.png").read_bytes()):
        assert classifier.classify(image) == wanted


@pytest.mark.parametrize(("orientation", "label"), [("exif", "green"), ("ignore", "red")])
def test_a_photo_is_turned_as_the_spec_says(tmp_path: Path, orientation: str, label: str) -> None:
    """The left half is red, the right half is green, and the camera was held upside down; the model sees the left."""
    photo = Image.fromarray(np.concatenate([models.colour(255, 0, 0, 32), models.colour(0, 255, 0, 32)], axis=1))
    exif = Image.Exif()
    exif[0x0112] = 3
    stream = io.BytesIO()
    photo.save(stream, "PNG", exif=exif)

    def look_left(file: models.TFLiteFile) -> None:
        mask = np.zeros((1, 8, 8, 3), np.float32)
        mask[:, :, :4] = 1
        image, seen = file.graph.operators[0].inputs[0], file.tensor("seen", [1, 8, 8, 3])
        file.graph.operators[0].inputs[0] = seen
        file.operator("MUL", [image, file.tensor("mask", mask.shape, data=mask)], [seen], "MulOptions")
        file.graph.operators.insert(0, file.graph.operators.pop())

    path = models.tflite(tmp_path / "model.tflite", batch=1, damage=look_left)
    spec = models.spec(preprocess=Preprocess("bilinear-aa", orientation=orientation))
    answer = Classifier(models.with_spec(path, spec)).classify(stream.getvalue(), top=1)
    assert [prediction.label for prediction in answer.predictions] == [label]


def test_a_binary_model(tmp_path: Path) -> None:
    path = models.tflite(tmp_path / "model.tflite", activation="LOGISTIC", weights=np.array([[0.02, 0, -0.02]], "f4"))
    spec = models.spec(labels=("cold", "warm"), output=output("sigmoid", threshold=0.9))
    classifier = Classifier(models.with_spec(path, spec))
    warm = classifier.classify(models.colour(200, 0, 50))
    assert [prediction.label for prediction in warm.predictions] == ["warm", "cold"]
    assert warm.predictions[0].score == pytest.approx(sigmoid(3), abs=1e-5)
    assert warm.predictions[1].score == pytest.approx(1 - sigmoid(3), abs=1e-5)
    assert warm.sure
    cold = classifier.classify(models.colour(50, 0, 60))
    assert cold.predictions[0].label == "cold"
    assert not cold.sure


def channels_first(model: Any) -> None:
    """Turn the ONNX network to NCHW."""
    from onnx import numpy_helper

    for dimension, size in zip(model.graph.input[0].type.tensor_type.shape.dim[1:], (3, 8, 8), strict=True):
        dimension.dim_value = size
    [axes] = [tensor for tensor in model.graph.initializer if tensor.name == "axes"]
    axes.CopyFrom(numpy_helper.from_array(np.array([2, 3], np.int64), "axes"))


def test_channels_first(tmp_path: Path) -> None:
    path = models.onnx(tmp_path / "model.onnx", damage=channels_first)
    spec = models.spec(input=dataclasses.replace(models.spec().input, layout="NCHW"))
    classifier = Classifier(models.with_spec(path, spec))
    assert classifier.prepare(models.colour(0, 0, 255)).shape == (3, 8, 8)
    assert classifier.classify(models.colour(0, 0, 255)).predictions[0].label == "blue"


# --- what does not fit


def test_a_model_without_a_spec(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="carries no edgekit spec") as caught:
        Classifier(models.tflite(tmp_path / "model.tflite"))
    assert caught.value.hint.startswith("Give it one with: edgekit import ")


def test_files_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        Classifier(tmp_path / "missing.tflite")
    with pytest.raises(ModelFileError, match="looks like: keras"):
        Classifier(models.with_spec(models.keras(tmp_path / "model.keras")))


def test_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    classifier = Classifier(models.with_spec(models.tflite(tmp_path / "model.tflite")))
    for image in (b"", b"\x89PNG\r\n\x1a\n", tmp_path / "missing.png", tmp_path):
        with pytest.raises(ImageError):
            classifier.classify(image)


def changed(**values: Any) -> ModelSpec:
    return models.spec(input=dataclasses.replace(models.spec().input, **values))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (changed(height=9), r"takes \(None, 8, 8, 3\), but its spec says NHWC \(9, 8, 3\)"),
        (changed(width=16), r"its spec says NHWC \(8, 16, 3\)"),
        (changed(layout="NCHW"), r"its spec says NCHW \(3, 8, 8\)"),
        (
            models.spec(
                input=dataclasses.replace(models.spec().input, channels=1),
                preprocess=Preprocess("nearest", channel_order="gray", mean=(0.0,), std=(1.0,)),
            ),
            r"its spec says NHWC \(8, 8, 1\)",
        ),
        (models.spec("uint8"), "takes float32 .*, but its spec says uint8"),
        (models.spec(labels=("a", "b")), "gives 3 scores, but its spec has 2 labels"),
        (models.spec(labels=("a", "b", "c", "d")), "gives 3 scores, but its spec has 4 labels"),
    ],
)
@pytest.mark.parametrize("make", MAKERS)
def test_a_spec_that_does_not_fit(tmp_path: Path, make: Callable[..., Path], spec: ModelSpec, message: str) -> None:
    path = models.with_spec(make(tmp_path / "model"), spec)
    with pytest.raises(SpecError, match=message):
        Classifier(path)


def open_output(model: Any) -> None:
    """Take the logits through an operator whose result may have any size."""
    from onnx import helper, numpy_helper

    model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "scores"
    model.graph.node[-1].input[0] = "some"
    model.graph.node.insert(3, helper.make_node("Compress", ["logits", "which"], ["some"], axis=1))
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.bool_), "which"))


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c", "d")])
def test_a_model_that_does_not_say_how_many_scores_it_gives(tmp_path: Path, labels: tuple[str, ...]) -> None:
    path = models.onnx(tmp_path / "model.onnx", damage=open_output)
    assert Classifier(models.with_spec(path)).classify(models.colour(200, 0, 0)).predictions[0].label == "red"
    classifier = Classifier(models.with_spec(path, models.spec(labels=labels)))
    with pytest.raises(SpecError, match=rf"model\.onnx gives 3 scores, but its spec has {len(labels)} labels"):
        classifier.classify(models.colour(200, 0, 0))


def test_a_single_score_is_for_two_labels(tmp_path: Path) -> None:
    path = models.tflite(tmp_path / "model.tflite", activation="LOGISTIC", weights=models.WEIGHTS[:1])
    with pytest.raises(SpecError, match="gives 1 scores, but its spec has 3 labels"):
        check_fit(models.spec(), open_interpreter(path), path.name)


@pytest.mark.parametrize(
    ("declared", "fits"),
    [
        (Quantization(2.0, -3), True),
        (Quantization(2.0 + 1e-9, -3), True),
        (Quantization(2.1, -3), False),
        (Quantization(2.0, -4), False),
    ],
)
def test_the_quantization_of_the_input_must_be_the_model_s(tmp_path: Path, declared: Quantization, fits: bool) -> None:
    def damage(file: models.TFLiteFile) -> None:
        image = file.graph.tensors[0]
        image.type, image.quantization = file.schema.TensorType.INT8, file.schema.QuantizationParametersT()
        image.quantization.scale, image.quantization.zeroPoint = [2.0], [-3]
        [mean] = [operator for operator in file.graph.operators if operator.inputs[0] == 0]
        real = file.tensor("real", [1, 8, 8, 3])
        mean.inputs[0] = real
        file.operator("DEQUANTIZE", [0], [real], "DequantizeOptions")
        file.graph.operators.insert(0, file.graph.operators.pop())

    path = models.tflite(tmp_path / "model.tflite", batch=1, damage=damage)
    models.with_spec(path, changed(dtype="int8", quantization=declared))
    if fits:
        assert Classifier(path).classify(models.colour(200, 0, 0)).predictions[0].label == "red"
    else:
        with pytest.raises(SpecError, match="takes int8 with"):
            Classifier(path)
