"""The contract with litert-quantizer: what edgekit needs of it, with the parts of it that may change without notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.quantize import litert_adapter
from edgekit.runtime.interpreters import open_interpreter
from edgekit.runtime.spec import Quantization
from tests.keras_models import SIDE, images
from tests.session_models import without_spec

# The calibrator and the test look into the interpreter on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:Warning. Enabling `experimental_preserve_all_tensors`")

SAMPLES = images(40, 5)[0]


class Graph:
    """A `.tflite` file as its own schema tells it."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(path.read_bytes(), 0))
        self._operators = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
        self._types = {value: name for name, value in vars(schema.TensorType).items() if name.isupper()}
        self.tensors = self._model.subgraphs[0].tensors

    def types(self, kind: str) -> list[tuple[list[str], list[str]]]:
        """The types of the inputs and outputs of each operator of this kind."""
        return [
            (
                [self._types[self.tensors[index].type] for index in operator.inputs if index >= 0],
                [self._types[self.tensors[index].type] for index in operator.outputs],
            )
            for operator in self._model.subgraphs[0].operators
            if self._operators[self._model.operatorCodes[operator.opcodeIndex].builtinCode] == kind
        ]

    def constants(self) -> dict[str, Any]:
        """The tensors with data, by name."""
        return {
            tensor.name.decode(): tensor
            for tensor in self.tensors
            if self._model.buffers[tensor.buffer].data is not None
        }

    def type_of(self, tensor: Any) -> str:
        return str(self._types[tensor.type])


@pytest.fixture(scope="module")
def source(float_tflite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return without_spec(float_tflite, tmp_path_factory.mktemp("source") / "source.tflite")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples") / "samples.npy"
    np.save(path, SAMPLES)
    return path


def quantize(
    source: Path, target: Path, scheme: str, samples: Path | None, io: str = "float32"
) -> dict[str, list[float]]:
    return litert_adapter.quantize(str(source), str(target), scheme, str(samples) if samples else None, io, True)


def activations(path: Path, inputs: NDArray[np.uint8]) -> dict[str, tuple[float, float]]:
    """Minimum and maximum of every tensor over all inputs, found without litert-quantizer."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    [image] = interpreter.get_input_details()
    found: dict[str, list[NDArray[Any]]] = {}
    for one in inputs:
        interpreter.set_tensor(image["index"], one[None].astype(np.float32))
        interpreter.invoke()
        for detail in interpreter.get_tensor_details():
            if detail["dtype"] == np.float32 and detail["name"]:
                found.setdefault(detail["name"], []).append(interpreter.get_tensor(detail["index"]).copy())
    return {name: (min(map(np.min, values)), max(map(np.max, values))) for name, values in found.items()}


def test_ranges_are_the_minimum_and_the_maximum_of_all_images(source: Path, samples: Path, tmp_path: Path) -> None:
    ranges = quantize(source, tmp_path / "q.tflite", "int8", samples)
    true = activations(source, SAMPLES)
    inner = ranges.keys() & true.keys() - {"image", "scores"}
    assert len(inner) >= 6
    for name in inner:
        assert ranges[name] == pytest.approx(true[name], rel=1e-4, abs=1e-4), name


def test_ranges_do_not_depend_on_the_order_of_the_images(source: Path, samples: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "reversed.npy", SAMPLES[::-1])
    first = quantize(source, tmp_path / "first.tflite", "int8", samples)
    assert quantize(source, tmp_path / "second.tflite", "int8", tmp_path / "reversed.npy") == first
    assert (tmp_path / "first.tflite").read_bytes() == (tmp_path / "second.tflite").read_bytes()


def test_the_ranges_of_pixels_and_probabilities_are_known(source: Path, samples: Path, tmp_path: Path) -> None:
    assert SAMPLES.max() < 255
    ranges = quantize(source, tmp_path / "q.tflite", "int8", samples)
    assert ranges["image"] == [0, 255]
    assert ranges["scores"] == [0, 1]


@pytest.mark.parametrize(
    ("io", "types", "quantizations"),
    [
        ("uint8", ("uint8", "float32"), (Quantization(1.0, 0), None)),
        ("int8", ("int8", "int8"), (Quantization(1.0, -128), Quantization(1 / 255, -128))),
        ("float32", ("float32", "float32"), (None, None)),
    ],
)
def test_inputs_and_outputs(
    source: Path,
    samples: Path,
    tmp_path: Path,
    io: str,
    types: tuple[str, str],
    quantizations: tuple[Quantization | None, Quantization | None],
) -> None:
    quantize(source, tmp_path / "q.tflite", "int8", samples, io)
    model = open_interpreter(tmp_path / "q.tflite")
    assert (model.input.dtype, model.output.dtype) == types
    assert model.input.quantization == quantizations[0]
    if quantizations[1] is None:
        assert model.output.quantization is None
    else:
        assert model.output.quantization is not None
        assert model.output.quantization.scale == pytest.approx(quantizations[1].scale, rel=1e-6)
        assert model.output.quantization.zero_point == quantizations[1].zero_point
    assert model.input.name == "image"


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_the_softmax_stays_in_float(source: Path, samples: Path, tmp_path: Path, scheme: str) -> None:
    quantize(source, tmp_path / "q.tflite", scheme, samples)
    assert Graph(tmp_path / "q.tflite").types("SOFTMAX") == [(["FLOAT32"], ["FLOAT32"])]


def test_convolutions_are_integer_and_their_weights_per_channel(source: Path, samples: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "q.tflite", "int8", samples)
    graph = Graph(tmp_path / "q.tflite")
    for kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        assert graph.types(kind)
        for inputs, outputs in graph.types(kind):
            assert (inputs[:2], outputs) == (["INT8", "INT8"], ["INT8"])
    [stem] = [tensor for tensor in graph.constants().values() if list(tensor.shape) == [8, 3, 3, 3]]
    assert len(stem.quantization.scale) == 8


def test_int16x8_leaves_the_normalisation_in_float(source: Path, samples: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "q.tflite", "int16x8", samples)
    graph = Graph(tmp_path / "q.tflite")
    for kind in ("MUL", "ADD"):
        assert all({*inputs, *outputs} == {"FLOAT32"} for inputs, outputs in graph.types(kind))
    assert graph.types("MUL")
    for inputs, outputs in graph.types("CONV_2D"):
        assert (inputs[:2], outputs) == (["INT16", "INT8"], ["INT16"])


def test_weights_alone(source: Path, tmp_path: Path) -> None:
    assert quantize(source, tmp_path / "half.tflite", "float16", None) == {}
    half, small = Graph(tmp_path / "half.tflite"), tmp_path / "dynamic.tflite"
    assert {half.type_of(tensor) for tensor in half.constants().values() if len(tensor.shape) == 4} == {"FLOAT16"}
    assert quantize(source, small, "dynamic", None) == {}
    assert {outputs[0] for _, outputs in Graph(small).types("CONV_2D")} == {"FLOAT32"}
    assert {inputs[1] for inputs, _ in Graph(small).types("CONV_2D")} == {"INT8"}


@pytest.mark.parametrize(
    ("scheme", "tolerance"),
    [
        ("float16", 0.002),
        ("dynamic", 0.03),
        ("int8", 0.05),
        ("int16x8", 0.02),
    ],
)
def test_every_scheme_runs_and_is_close(
    source: Path, samples: Path, tmp_path: Path, scheme: str, tolerance: float
) -> None:
    quantize(source, tmp_path / "q.tflite", scheme, samples if scheme.startswith("int") else None)
    unseen = images(30, 6)[0].astype(np.float32)
    expected = open_interpreter(source).run(unseen)
    answers = open_interpreter(tmp_path / "q.tflite").run(unseen)
    assert 0 < np.abs(answers - expected).max() < tolerance
    assert unseen.shape[1:] == (SIDE, SIDE, 3)
