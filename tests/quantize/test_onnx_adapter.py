"""The contract with ONNX Runtime's quantizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core.errors import ConversionError
from edgekit.quantize import onnx_adapter
from edgekit.quantize.estimators import estimate
from edgekit.quantize.observe import Statistics, observe
from edgekit.quantize.plan import Plan
from edgekit.runtime.interpreters import open_interpreter
from tests import models
from tests.keras_models import images
from tests.session_models import without_spec, write_nchw_onnx

SAMPLES = images(40, 5)[0]


@pytest.fixture(scope="module")
def source(float_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return without_spec(float_onnx, tmp_path_factory.mktemp("source") / "source.onnx")


@pytest.fixture(scope="module")
def int8(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("int8") / "int8.onnx"
    quantize(source, target, Plan("int8"), observe(source, SAMPLES, "NHWC"))
    return target


def quantize(source: Path, target: Path, plan: Plan, statistics: Statistics | None = None) -> None:
    ranges = None
    if statistics is not None:
        ranges = {name: list(one) for name, one in estimate(statistics, plan.ranges).items()}
    onnx_adapter.quantize(str(source), str(target), plan.to_json(), ranges)


def load(path: Path) -> tuple[Any, dict[str, Any]]:
    """The graph of an `.onnx` file, and its constants by name."""
    import onnx

    graph = onnx.load(str(path)).graph
    return graph, {constant.name: onnx.numpy_helper.to_array(constant) for constant in graph.initializer}


def quantizer_of(graph: Any, tensor: str) -> Any:
    [node] = [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == tensor]
    return node


def test_activations_are_unsigned_and_weights_signed_per_channel(int8: Path) -> None:
    graph, constants = load(int8)
    zero_points = {constants[node.input[2]].dtype for node in graph.node if node.op_type == "QuantizeLinear"}
    assert zero_points == {np.dtype("uint8")}
    makers = {name: node for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 3
    for node in convolutions:
        weights = makers[node.input[1]]
        assert weights.op_type == "DequantizeLinear"
        assert constants[weights.input[0]].dtype == np.int8
        assert constants[weights.input[1]].shape == (8,)


def test_every_activation_has_the_range_that_was_given(source: Path, tmp_path: Path) -> None:
    statistics = observe(source, SAMPLES, "NHWC")
    quantize(source, tmp_path / "q.onnx", Plan("int8", "mse"), statistics)
    ranges = {"image": (0.0, 255.0), **estimate(statistics, "mse")}
    graph, constants = load(tmp_path / "q.onnx")
    quantizers = [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] in ranges]
    assert len(quantizers) >= 6
    for node in quantizers:
        low, high = ranges[node.input[0]]
        scale = float(constants[node.input[1]])
        assert scale == pytest.approx((high - low) / 255, rel=1e-5)
        assert constants[node.input[2]] == round(-low / scale)
    assert estimate(statistics, "minmax") != estimate(statistics, "mse")


def test_nodes_that_a_plan_keeps_stay_in_float(source: Path, tmp_path: Path) -> None:
    kept = [node.output[0] for node in load(source)[0].node if node.op_type == "Conv"][:1]
    quantize(source, tmp_path / "q.onnx", Plan("int8", keep_float=tuple(kept)), observe(source, SAMPLES, "NHWC"))
    graph, _ = load(tmp_path / "q.onnx")
    made = {name: node.op_type for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert [made.get(node.input[1]) for node in convolutions] == [None, "DequantizeLinear", "DequantizeLinear"]
    quantize(source, tmp_path / "half.onnx", Plan("float16", keep_float=tuple(kept)))
    _, constants = load(tmp_path / "half.onnx")
    assert sorted(str(array.dtype) for array in constants.values() if array.ndim == 4).count("float32") == 1
    with pytest.raises(ConversionError, match="has no operator 'no'"):
        quantize(source, tmp_path / "none.onnx", Plan("float16", keep_float=("no",)))


def test_the_softmax_stays_in_float(int8: Path) -> None:
    graph, _ = load(int8)
    [softmax] = [node for node in graph.node if node.op_type == "Softmax"]
    assert softmax.output[0] == graph.output[0].name
    assert not [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == softmax.output[0]]


def test_inputs_and_outputs_stay_float(source: Path, int8: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "half.onnx", Plan("float16"))
    for path in (int8, tmp_path / "half.onnx"):
        model = open_interpreter(path)
        assert (model.input.name, model.input.dtype, model.output.dtype) == ("image", "float32", "float32")
        assert model.input.shape == (None, 12, 12, 3)


def test_schemes_are_close(source: Path, int8: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "half.onnx", Plan("float16"))
    unseen = images(30, 6)[0].astype(np.float32)
    expected = open_interpreter(source).run(unseen)
    for path, tolerance in ((int8, 0.06), (tmp_path / "half.onnx", 0.01)):
        assert 0 < np.abs(open_interpreter(path).run(unseen) - expected).max() < tolerance


def test_nodes_without_names_are_quantized_too(tmp_path: Path) -> None:
    unnamed, core, target = models.onnx(tmp_path / "unnamed.onnx"), tmp_path / "core.onnx", tmp_path / "q.onnx"
    assert not any(node.name for node in load(unnamed)[0].node)
    onnx_adapter.prepare(str(unnamed), str(core))
    assert all(node.name for node in load(core)[0].node)
    quantize(core, target, Plan("int8"), observe(core, images(20, 1, models.SIDE, models.SIDE)[0], "NHWC"))
    graph, constants = load(target)
    assert {np.dtype("int8")} == {array.dtype for name, array in constants.items() if name.startswith("weights_q")}
    [softmax] = [node for node in graph.node if node.op_type == "Softmax"]
    assert softmax.output[0] == "scores"


def test_channels_first(tmp_path: Path) -> None:
    source, core = write_nchw_onnx(tmp_path / "source.onnx", 10, 14), tmp_path / "core.onnx"
    onnx_adapter.prepare(str(source), str(core))
    target = tmp_path / "q.onnx"
    quantize(core, target, Plan("int8"), observe(core, images(40, 5, 10, 14)[0], "NCHW"))
    unseen = images(12, 6, 10, 14)[0].transpose(0, 3, 1, 2).astype(np.float32)
    expected = open_interpreter(source).run(unseen)
    difference = np.abs(open_interpreter(target).run(unseen) - expected).max()
    assert 0 < difference < 0.02 * np.abs(expected).max()


def test_dynamic_is_refused_where_convolutions_hold_the_weights(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"matrix products hold most weights, and here they hold 24 of \d+"):
        quantize(source, tmp_path / "q.onnx", Plan("dynamic"))


def test_dynamic_helps_matrix_products(tmp_path: Path) -> None:
    source, target = models.onnx(tmp_path / "linear.onnx"), tmp_path / "q.onnx"
    quantize(source, target, Plan("dynamic"))
    assert "MatMulInteger" in {node.op_type for node in load(target)[0].node}
    unseen = images(9, 3, models.SIDE, models.SIDE)[0]
    expected = np.stack([models.expected(image) for image in unseen])
    assert np.abs(open_interpreter(target).run(unseen.astype(np.float32)) - expected).max() < 0.1


def write_reader(path: Path, kind: str) -> Path:
    """A network that reads an image row by row with an LSTM or a GRU, as tf2onnx and PyTorch write it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng, side, hidden = np.random.default_rng(0), models.SIDE, 16
    gates = {"LSTM": 4, "GRU": 3}[kind] * hidden
    weights: dict[str, Any] = {
        "rows": np.array([1, side, 3 * side], np.int64),
        "scale": np.array([1 / 255], np.float32),
        "W": rng.normal(0, 0.3, (1, gates, 3 * side)).astype(np.float32),
        "R": rng.normal(0, 0.2, (1, gates, hidden)).astype(np.float32),
        "dense": rng.normal(0, 1, (hidden, 3)).astype(np.float32),
        "first": np.array([0], np.int64),
    }
    nodes = [
        helper.make_node("Mul", ["image", "scale"], ["scaled"], "mul"),
        helper.make_node("Reshape", ["scaled", "rows"], ["sequence"], "reshape"),
        helper.make_node("Transpose", ["sequence"], ["steps"], "transpose", perm=[1, 0, 2]),
        helper.make_node(kind, ["steps", "W", "R"], ["", "state"], "reader", hidden_size=hidden),
        helper.make_node("Squeeze", ["state", "first"], ["last"], "squeeze"),
        helper.make_node("MatMul", ["last", "dense"], ["logits"], "matmul"),
    ]
    graph = helper.make_graph(
        nodes,
        kind,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, side, side, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(path))
    return path


def test_dynamic_quantizes_an_lstm(tmp_path: Path) -> None:
    source, target = write_reader(tmp_path / "lstm.onnx", "LSTM"), tmp_path / "q.onnx"
    quantize(source, target, Plan("dynamic"))
    assert "DynamicQuantizeLSTM" in {node.op_type for node in load(target)[0].node}
    assert target.stat().st_size < 0.5 * source.stat().st_size
    unseen = images(9, 3, models.SIDE, models.SIDE)[0].astype(np.float32)
    expected, found = ([open_interpreter(path).run(image[None]) for image in unseen] for path in (source, target))
    assert np.abs(np.array(found) - expected).max() < 0.05  # signed weights overflow on some processors: 0.24


@pytest.mark.parametrize(
    ("kind", "scheme", "hint"),
    [("LSTM", "int8", "dynamic"), ("GRU", "int8", "float16"), ("GRU", "dynamic", "float16")],
)
def test_recurrent_layers_that_would_stay_in_float(tmp_path: Path, kind: str, scheme: str, hint: str) -> None:
    source = write_reader(tmp_path / "source.onnx", kind)
    statistics = observe(source, images(10, 3, models.SIDE, models.SIDE)[0], "NHWC") if scheme == "int8" else None
    with pytest.raises(ConversionError, match=r"recurrent layers and loops in float|hold most weights") as raised:
        quantize(source, tmp_path / "q.onnx", Plan(scheme), statistics)
    assert raised.value.hint == f"Use --quantize {hint}."
    assert not (tmp_path / "q.onnx").exists()
