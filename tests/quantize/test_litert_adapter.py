"""The contract with litert-quantizer: what edgekit needs of it, with the parts of it that may change without notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core import fitness
from edgekit.core.anatomy import read_graphs
from edgekit.core.errors import ConversionError
from edgekit.quantize import litert_adapter
from edgekit.quantize.estimators import estimate
from edgekit.quantize.observe import Statistics, observe
from edgekit.quantize.plan import Plan
from edgekit.runtime.interpreters import open_interpreter
from edgekit.runtime.spec import Quantization
from tests import models
from tests.keras_models import SIDE, images
from tests.session_models import without_spec

# litert-quantizer looks into the interpreter on purpose.
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

    def operators(self) -> list[tuple[str, str]]:
        """The first output of each operator, and its kind."""
        graph = self._model.subgraphs[0]
        kinds = [self._operators[code.builtinCode] for code in self._model.operatorCodes]
        return [(graph.tensors[one.outputs[0]].name.decode(), kinds[one.opcodeIndex]) for one in graph.operators]

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
def statistics(source: Path) -> Statistics:
    return observe(source, SAMPLES, "NHWC")


def quantize(
    source: Path, target: Path, plan: Plan, statistics: Statistics | None = None, io: str = "float32"
) -> dict[str, tuple[float, float]]:
    """Quantize with the plan's ranges, and give them."""
    ranges = estimate(statistics, plan.ranges) if statistics is not None else None
    as_lists = {name: list(one) for name, one in ranges.items()} if ranges is not None else None
    litert_adapter.quantize(str(source), str(target), plan.to_json(), as_lists, io, True)
    return ranges or {}


def test_every_activation_has_the_range_that_was_given(source: Path, statistics: Statistics, tmp_path: Path) -> None:
    for method in ("minmax", "mse"):
        ranges = quantize(source, tmp_path / "q.tflite", Plan("int8", method), statistics)
        quantized = {
            tensor.name.decode(): tensor.quantization
            for tensor in Graph(tmp_path / "q.tflite").tensors
            if tensor.quantization is not None and tensor.quantization.scale is not None
        }
        inner = ranges.keys() & quantized.keys() - {"image", "scores"}
        assert len(inner) >= 6
        for name in inner:
            [scale], [zero_point] = quantized[name].scale, quantized[name].zeroPoint
            low, high = ranges[name]
            assert scale == pytest.approx((high - low) / 255, rel=1e-5), name
            assert zero_point == round(-128 - low / scale), name
    assert estimate(statistics, "minmax") != estimate(statistics, "mse")


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
    statistics: Statistics,
    tmp_path: Path,
    io: str,
    types: tuple[str, str],
    quantizations: tuple[Quantization | None, Quantization | None],
) -> None:
    quantize(source, tmp_path / "q.tflite", Plan("int8"), statistics, io)
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
def test_the_softmax_stays_in_float(source: Path, statistics: Statistics, tmp_path: Path, scheme: str) -> None:
    quantize(source, tmp_path / "q.tflite", Plan(scheme), statistics)
    assert Graph(tmp_path / "q.tflite").types("SOFTMAX") == [(["FLOAT32"], ["FLOAT32"])]


def test_convolutions_are_integer_and_their_weights_per_channel(
    source: Path, statistics: Statistics, tmp_path: Path
) -> None:
    quantize(source, tmp_path / "q.tflite", Plan("int8"), statistics)
    graph = Graph(tmp_path / "q.tflite")
    for kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        assert graph.types(kind)
        for inputs, outputs in graph.types(kind):
            assert (inputs[:2], outputs) == (["INT8", "INT8"], ["INT8"])
    [stem] = [tensor for tensor in graph.constants().values() if list(tensor.shape) == [8, 3, 3, 3]]
    assert len(stem.quantization.scale) == 8


def test_int16x8_leaves_the_normalisation_in_float(source: Path, statistics: Statistics, tmp_path: Path) -> None:
    quantize(source, tmp_path / "q.tflite", Plan("int16x8"), statistics)
    graph = Graph(tmp_path / "q.tflite")
    for kind in ("MUL", "ADD"):
        assert all({*inputs, *outputs} == {"FLOAT32"} for inputs, outputs in graph.types(kind))
    assert graph.types("MUL")
    for inputs, outputs in graph.types("CONV_2D"):
        assert (inputs[:2], outputs) == (["INT16", "INT8"], ["INT16"])


def test_weights_alone(source: Path, tmp_path: Path) -> None:
    for scheme, kind in (("float16", "FLOAT16"), ("weight8", "INT8"), ("weight4", "INT4")):
        quantize(source, tmp_path / "q.tflite", Plan(scheme))
        graph = Graph(tmp_path / "q.tflite")
        assert {outputs[0] for _, outputs in graph.types("CONV_2D")} == {"FLOAT32"}
        assert {tuple(inputs[:2]) for inputs, _ in graph.types("CONV_2D")} == {("FLOAT32", "FLOAT32")}
        weights = [tensor for tensor in graph.constants().values() if list(tensor.shape) == [8, 3, 3, 3]]
        assert [graph.type_of(tensor) for tensor in weights] == [kind]


def test_dynamic_computes_with_integers_and_keeps_activations_in_float(source: Path, tmp_path: Path) -> None:
    for scheme, kind in (("dynamic", "INT8"), ("dynamic4", "INT4")):
        quantize(source, tmp_path / "q.tflite", Plan(scheme))
        graph = Graph(tmp_path / "q.tflite")
        assert {tuple(inputs[:2]) for inputs, _ in graph.types("CONV_2D")} == {("FLOAT32", kind)}
        assert {outputs[0] for _, outputs in graph.types("CONV_2D")} == {"FLOAT32"}


def test_what_cannot_have_4_bits_gets_8(source: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "q.tflite", Plan("dynamic4"))
    assert {inputs[1] for inputs, _ in Graph(tmp_path / "q.tflite").types("DEPTHWISE_CONV_2D")} == {"INT8"}


def first_outputs(path: Path, kind: str) -> list[str]:
    """Of the operators of this kind: as a plan names them."""
    return [name for name, operator in Graph(path).operators() if operator == kind]


def test_operators_that_a_plan_keeps_stay_in_float(source: Path, statistics: Statistics, tmp_path: Path) -> None:
    kept = first_outputs(source, "CONV_2D")[:1] + first_outputs(source, "FULLY_CONNECTED")
    assert len(kept) == 2
    quantize(source, tmp_path / "q.tflite", Plan("int8", keep_float=tuple(kept)), statistics)
    graph = Graph(tmp_path / "q.tflite")
    convolutions = graph.types("CONV_2D")
    assert [outputs[0] for _, outputs in convolutions] == ["FLOAT32", "INT8"]
    assert [inputs[1] for inputs, _ in convolutions] == ["FLOAT32", "INT8"]
    assert {inputs[1] for inputs, _ in graph.types("FULLY_CONNECTED")} == {"FLOAT32"}
    for scheme in ("float16", "dynamic", "weight8", "weight4", "dynamic4"):
        quantize(source, tmp_path / "w.tflite", Plan(scheme, keep_float=tuple(kept)))
        constants = Graph(tmp_path / "w.tflite").constants().values()
        assert {list(one.shape) == [8, 3, 3, 3]: one.type for one in constants}[True] == 0  # FLOAT32


def test_a_name_is_not_a_pattern(source: Path, statistics: Statistics, tmp_path: Path) -> None:
    for name in ("model.*", "scores.", ""):
        with pytest.raises(ConversionError, match="has no operator"):
            quantize(source, tmp_path / "q.tflite", Plan("int8", keep_float=(name,)), statistics)
    assert not (tmp_path / "q.tflite").exists()


def test_dense_layers_of_dynamic_files_have_one_scale(source: Path, tmp_path: Path) -> None:
    """With several, tflite-runtime 2.14 and TensorFlow Lite 2.16.1 answer wrongly."""
    quantize(source, tmp_path / "q.tflite", Plan("dynamic"))
    [graph] = read_graphs(tmp_path / "q.tflite")
    scales = {
        operator.name: len(graph.tensors[operator.inputs[1]].scales)
        for operator in graph.operators
        if graph.tensors[operator.inputs[0]].dtype == "float32" and len(operator.inputs) > 2
    }
    assert scales["FULLY_CONNECTED"] == 1
    assert scales["CONV_2D"] > 1
    assert all(not fitness.runs_on(tmp_path / "q.tflite", target) for target in fitness.TARGETS)


@pytest.mark.parametrize(
    ("scheme", "tolerance"),
    [
        ("float16", 0.002),
        ("dynamic", 0.03),
        ("weight8", 0.03),
        ("weight4", 0.15),
        ("dynamic4", 0.15),
        ("int8", 0.05),
        ("int16x8", 0.02),
    ],
)
def test_every_scheme_runs_and_is_close(
    source: Path, statistics: Statistics, tmp_path: Path, scheme: str, tolerance: float
) -> None:
    plan = Plan(scheme)
    quantize(source, tmp_path / "q.tflite", plan, statistics if plan.calibrated else None)
    unseen = images(30, 6)[0].astype(np.float32)
    expected = open_interpreter(source).run(unseen)
    answers = open_interpreter(tmp_path / "q.tflite").run(unseen)
    assert 0 < np.abs(answers - expected).max() < tolerance
    assert unseen.shape[1:] == (SIDE, SIDE, 3)


def test_an_operator_with_an_output_that_nothing_reads_stays_in_float(tmp_path: Path) -> None:
    """As the first step of an unrolled LSTM has; quantized, TFLite would refuse it."""

    def split(file: models.TFLiteFile) -> None:
        mean = file.graph.operators[0]
        halves = [file.tensor(f"half{number}", [1, models.SIDE, models.SIDE // 2, 3]) for number in range(2)]
        axis = file.tensor("axis", [1], "INT32", np.array([2], np.int32))
        file.operator("SPLIT", [axis, mean.inputs[0]], halves, "SplitOptions", numSplits=2)
        mean.inputs = [halves[1], mean.inputs[1]]
        file.graph.operators.insert(0, file.graph.operators.pop())

    source, target = models.tflite(tmp_path / "source.tflite", batch=1, damage=split), tmp_path / "q.tflite"
    pixels = images(20, 5, models.SIDE, models.SIDE)[0]
    quantize(source, target, Plan("int8"), observe(source, pixels, "NHWC"))
    assert Graph(target).types("SPLIT") == [(["INT32", "FLOAT32"], ["FLOAT32", "FLOAT32"])]
    assert Graph(target).types("FULLY_CONNECTED")[0][0][1] == "INT8"
    inputs = pixels.astype(np.float32)
    expected, found = ([open_interpreter(path).run(image[None]) for image in inputs] for path in (source, target))
    assert np.abs(np.array(found) - expected).max() < 0.05
