"""What files tell about how they are fed, and which models are no classifiers of one image."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core.errors import ImportRefused
from edgekit.core.tflite_metadata import ENTRY, classifier_metadata
from edgekit.importers import facts
from edgekit.runtime.spec import Preprocess, Quantization
from tests import models
from tests.session_models import write_nchw_onnx


def description(**changes: Any) -> dict[str, Any]:
    """What `keras_inspect.describe` says of an ordinary classifier."""
    return {
        "inputs": [{"name": "photo", "shape": [None, 224, 192, 3], "dtype": "float32"}],
        "outputs": [{"name": "scores", "shape": [None, 5], "dtype": "float32"}],
        "activation": "softmax",
        "normalization": None,
        "opaque": False,
        **changes,
    }


def shaped(shape: list[int | None], dtype: str = "float32") -> list[dict[str, Any]]:
    return [{"name": "tensor", "shape": shape, "dtype": dtype}]


# --- Keras


def test_an_ordinary_keras_model() -> None:
    found = facts.of_keras(Path("m.keras"), description())
    assert (found.height, found.width, found.channels, found.layout) == (224, 192, 3, "NHWC")
    assert (found.scores, found.activation, found.dtype) == (5, "softmax", "float32")
    assert (found.mean, found.std, found.labels) == (None, None, None)


@pytest.mark.parametrize(
    ("activation", "known"),
    [
        ("softmax", "softmax"),
        ("sigmoid", "sigmoid"),
        ("linear", "logits"),
        ("unknown", None),
        ("relu", None),
        ("log_softmax", None),
        ("my_softmax", None),
    ],
)
def test_the_last_activation(activation: str, known: str | None) -> None:
    assert facts.of_keras(Path("m.keras"), description(activation=activation)).activation == known


@pytest.mark.parametrize(
    ("mean", "std", "bytes_in"),
    [
        (0.0, 255.0, True),
        (127.5, 127.5, True),
        (103.939, 1.0, True),
        (123.675, 58.395, True),
        (0.0, 1 / 255, False),
        (0.485, 0.229, False),
        (0.5, 0.5, False),
    ],
)
def test_a_normalisation_of_bytes_says_that_bytes_go_in(mean: float, std: float, bytes_in: bool) -> None:
    normalization = {"mean": [mean] * 3, "std": [std] * 3, "reversed": False}
    found = facts.of_keras(Path("m.keras"), description(normalization=normalization))
    assert (found.mean, found.std) == (((0, 0, 0), (1, 1, 1)) if bytes_in else (None, None))


def test_open_sides_are_not_known() -> None:
    found = facts.of_keras(Path("m.keras"), description(inputs=shaped([None, None, None, 1])))
    assert (found.height, found.width, found.channels) == (None, None, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": shaped([None, 8, 8, 3]) * 2}, "has 2 inputs"),
        ({"outputs": shaped([None, 5]) * 3}, "has 3 outputs"),
        ({"inputs": shaped([None, 28, 28])}, "input of shape ?×28×28"),
        ({"inputs": shaped([None, 64, 64, 4])}, "input of shape ?×64×64×4"),
        ({"inputs": shaped([None, 10])}, "input of shape ?×10"),
        ({"inputs": shaped([None, 3, 224, 224])}, "wants the channels first"),
        ({"inputs": shaped([None, 8, 8, 3], "uint8")}, "takes uint8"),
        ({"outputs": shaped([None, 7, 7, 5])}, "output of shape"),
        ({"outputs": shaped([None, None])}, "output of shape"),
    ],
)
def test_keras_models_that_are_no_classifiers_of_one_image(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ImportRefused) as raised:
        facts.of_keras(Path("m.keras"), description(**changes))
    assert message in raised.value.message
    assert raised.value.message.startswith("m.keras ")


def test_scores_in_a_map_of_one_pixel() -> None:
    assert facts.of_keras(Path("m.keras"), description(outputs=shaped([None, 1, 1, 5]))).scores == 5


# --- TFLite


@pytest.mark.parametrize(("activation", "known"), [("SOFTMAX", "softmax"), ("LOGISTIC", "sigmoid"), ("", "logits")])
def test_an_ordinary_tflite_file(tmp_path: Path, activation: str, known: str) -> None:
    found = facts.of_tflite(models.tflite(tmp_path / "m.tflite", activation=activation))
    assert (found.input_name, found.output_name.partition(":")[0]) == ("image", "scores" if activation else "logits")
    assert (found.height, found.width, found.channels, found.layout) == (8, 8, 3, "NHWC")
    assert (found.scores, found.activation, found.dtype, found.quantization) == (3, known, "float32", None)
    assert (found.mean, found.std, found.labels) == (None, None, None)


def test_an_output_that_no_known_operator_makes(tmp_path: Path) -> None:
    assert facts.of_tflite(models.tflite(tmp_path / "m.tflite", activation="TANH")).activation is None


@pytest.mark.parametrize(
    ("scale", "zero_point", "mean", "std"), [(1.0, 0, 0.0, 1.0), (1 / 128, 128, 128.0, 128.0), (0.5, 10, 10.0, 2.0)]
)
def test_a_quantized_input_takes_pixels_as_they_are(
    tmp_path: Path, scale: float, zero_point: int, mean: float, std: float
) -> None:
    def quantize(file: models.TFLiteFile) -> None:
        parameters = file.schema.QuantizationParametersT()
        parameters.scale, parameters.zeroPoint = [scale], [zero_point]
        file.graph.tensors[0].quantization = parameters

    found = facts.of_tflite(models.tflite(tmp_path / "m.tflite", dtype="uint8", damage=quantize))
    assert found.quantization == Quantization(scale, zero_point)
    assert (found.mean, found.std) == ((mean,) * 3, (std,) * 3)


def test_quantized_weights(tmp_path: Path) -> None:
    assert not facts.of_tflite(models.tflite(tmp_path / "float.tflite")).quantized
    dense = models.tflite(tmp_path / "dense.tflite", damage=models.dense_in_8_bits(per_channel=True))
    assert facts.of_tflite(dense).quantized


def test_bytes_without_a_quantization(tmp_path: Path) -> None:
    found = facts.of_tflite(models.tflite(tmp_path / "m.tflite", dtype="uint8"))
    assert (found.quantization, found.mean, found.std) == (Quantization(1.0, 0), (0, 0, 0), (1, 1, 1))
    found = facts.of_tflite(models.tflite(tmp_path / "m.tflite", dtype="int8"))
    assert (found.quantization, found.mean, found.std) == (Quantization(1.0, -128), (0, 0, 0), (1, 1, 1))


def test_standard_metadata_says_normalisation_and_labels(tmp_path: Path) -> None:
    said = models.spec(preprocess=Preprocess("bilinear", mean=(127.5, 120.0, 110.0), std=(128.0, 64.0, 32.0)))
    path = models.tflite(tmp_path / "m.tflite", damage=lambda file: file.metadata(ENTRY, classifier_metadata(said)))
    stream = io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("labels.txt", "red\r\ngreen\nblue\n\n")
    path.write_bytes(stream.getvalue())
    found = facts.of_tflite(path)
    assert (found.mean, found.std) == ((127.5, 120.0, 110.0), (128.0, 64.0, 32.0))
    assert found.labels == ("red", "green", "blue")


def test_metadata_with_one_number_for_all_channels(tmp_path: Path) -> None:
    said = models.spec(preprocess=Preprocess("bilinear", mean=(127.5,) * 3, std=(128.0,) * 3))
    object.__setattr__(said.preprocess, "mean", (127.5,))
    object.__setattr__(said.preprocess, "std", (128.0,))
    path = models.tflite(tmp_path / "m.tflite", damage=lambda file: file.metadata(ENTRY, classifier_metadata(said)))
    found = facts.of_tflite(path)
    assert (found.mean, found.std) == ((127.5,) * 3, (128.0,) * 3)


def test_labels_in_several_files_are_ambiguous(tmp_path: Path) -> None:
    path = models.tflite(tmp_path / "m.tflite", zip_trailer=True)
    assert facts.of_tflite(path).labels == ("old", "labels", "here")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other.txt", "a\nb\nc\n")
    assert facts.of_tflite(path).labels is None


# --- ONNX


@pytest.mark.parametrize(
    ("activation", "known"), [("Softmax", "softmax"), ("Sigmoid", "sigmoid"), ("", "logits"), ("Tanh", None)]
)
def test_an_ordinary_onnx_file(tmp_path: Path, activation: str, known: str | None) -> None:
    found = facts.of_onnx(models.onnx(tmp_path / "m.onnx", activation=activation))
    assert (found.input_name, found.output_name) == ("image", "scores")
    assert (found.height, found.width, found.channels, found.layout) == (8, 8, 3, "NHWC")
    assert (found.scores, found.activation, found.mean, found.std) == (3, known, None, None)


def test_channels_first(tmp_path: Path) -> None:
    found = facts.of_onnx(write_nchw_onnx(tmp_path / "m.onnx"))
    assert (found.height, found.width, found.channels, found.layout) == (12, 12, 3, "NCHW")
    assert found.activation == "logits"


def test_onnx_bytes_take_pixels_as_they_are(tmp_path: Path) -> None:
    found = facts.of_onnx(models.onnx(tmp_path / "m.onnx", dtype="uint8"))
    assert (found.dtype, found.quantization) == ("uint8", Quantization(1.0, 0))
    assert (found.mean, found.std) == ((0, 0, 0), (1, 1, 1))


def test_onnx_inputs_that_are_not_fed(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match=r"m\.onnx takes int64"):
        facts.of_onnx(models.onnx(tmp_path / "m.onnx", dtype="int64"))


def test_outputs_that_are_no_scores(tmp_path: Path) -> None:
    def drop_mean(model: Any) -> None:
        from onnx import TensorProto, helper

        model.graph.node[1].input[0] = "pixels"
        del model.graph.node[1:]
        model.graph.node[0].output[0] = "scores"
        del model.graph.output[:]
        model.graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 8, 8, 3]))

    with pytest.raises(ImportRefused, match="is not a list of scores"):
        facts.of_onnx(models.onnx(tmp_path / "m.onnx", damage=drop_mean))


def test_one_score(tmp_path: Path) -> None:
    weights = np.full((1, 3), 0.01, np.float32)
    assert facts.of_onnx(models.onnx(tmp_path / "m.onnx", weights=weights, activation="Sigmoid")).scores == 1
    assert facts.of_tflite(models.tflite(tmp_path / "m.tflite", weights=weights, activation="LOGISTIC")).scores == 1
