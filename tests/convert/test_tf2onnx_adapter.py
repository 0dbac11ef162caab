"""The contract with tf2onnx and onnxslim, and with the names that TensorFlow gives to the nodes of Keras' layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core import child
from edgekit.runtime.interpreters import open_interpreter
from tests.keras_models import SIDE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    answer: dict[str, Any] = child.call("tests.convert.in_child:frozen_graphs", folder=str(folder))
    return answer


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[str, str]:
    answer: dict[str, str] = child.call("tests.convert.in_child:odd_models", folder=str(folder))
    return answer


def test_there_is_one_input_with_an_open_batch(found: dict[str, Any]) -> None:
    assert found["variables"] == []
    assert len(found["inputs"]) == 1
    assert found["batch"] == 0
    assert found["opset"] == 18


def test_the_optimizer_that_eats_memory_is_replaced(found: dict[str, Any]) -> None:
    assert found["replaced"]


def test_the_graph_answers_like_keras(found: dict[str, Any], folder: Path) -> None:
    with np.load(folder / "answers.npz") as stored:
        answers = open_interpreter(folder / "model.onnx").run(stored["x"])
        assert np.abs(answers - stored["y"]).max() < 1e-5


def test_foreign_operators_are_found(found: dict[str, Any]) -> None:
    assert found["left_over"] == [[], ["Erfinv"]]


def test_names_that_tensorflow_refuses_are_no_obstacle(outcomes: dict[str, str]) -> None:
    assert outcomes["names.tflite"] == outcomes["names.onnx"] == "converted"


def test_recurrent_layers(outcomes: dict[str, str], folder: Path) -> None:
    inputs = np.load(folder / "probes.npy")
    for name in ("lstm.tflite", "lstm.onnx", "gru.tflite", "gru.onnx"):
        assert outcomes[name] == "converted"
        answers = open_interpreter(folder / name).run(inputs)
        assert np.abs(answers - np.load(folder / f"{name}.npy")).max() < 1e-5


def test_a_layer_that_remembers_other_images_is_refused(outcomes: dict[str, str]) -> None:
    assert outcomes["stateful.tflite"] == outcomes["stateful.onnx"]
    assert outcomes["stateful.tflite"].startswith("The layer 'memory' is stateful")


def test_an_lstm_is_one_operator_of_onnx_and_the_steps_of_a_gru_share_their_weights(
    outcomes: dict[str, str], folder: Path
) -> None:
    import onnx

    assert outcomes["lstm.onnx"] == outcomes["gru.onnx"] == "converted"
    lstm, gru = (onnx.load(folder / f"{name}.onnx").graph for name in ("lstm", "gru"))
    assert [node.op_type for node in lstm.node].count("LSTM") == 1
    assert not {"Loop", "Scan"} & {node.op_type for node in gru.node}
    kernels = [weight for weight in gru.initializer if list(weight.dims) == [3 * SIDE, 12]]
    assert len(kernels) == 2  # one for each direction, for all of the twelve steps


@pytest.mark.parametrize(("name", "target"), [("nested.tflite", "TFLite"), ("nested.onnx", "ONNX")])
def test_the_innermost_layers_are_named_as_their_author_named_them(
    outcomes: dict[str, str], name: str, target: str
) -> None:
    assert outcomes[name] == (
        f"The layers 'size_1', 'odd one' need the operator ScaleAndTranslate, which {target} does not have."
    )


def test_operators_that_belong_to_no_layer(outcomes: dict[str, str]) -> None:
    assert outcomes["function.tflite"] == "The model needs the operators Complex, FFT, which TFLite does not have."
    assert outcomes["function.onnx"].startswith("The model needs the operators Complex, FFT")
