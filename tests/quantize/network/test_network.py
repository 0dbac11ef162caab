"""Networks as repairs see them: what is read, and that writing changes that and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core.errors import ModelFileError
from edgekit.quantize.equalize.links import find_links
from edgekit.quantize.litert_adapter import quantize as quantize_tflite
from edgekit.quantize.network import open_network
from edgekit.quantize.plan import Plan
from edgekit.quantize.taps import open_taps
from tests.quantize.sketches import LAYOUTS, Sketch, answers, images

FORMATS = pytest.mark.parametrize("suffix", LAYOUTS)


def every_kind() -> Sketch:
    """Each weighted operator, two of which share a bias."""
    net = Sketch()
    net.conv("first", "image", 8, "relu", bias="shared")
    net.conv("deep", "first", 8, groups=8, bias="shared")
    net.conv("grouped", "deep", 8, "relu6", groups=4)
    net.one("mean", "mean", "grouped")
    net.dense("scores", "mean", 4)
    return net


def weighted(path: Path) -> list[int]:
    return [place for place, operator in enumerate(open_network(path).operators) if operator.kind == "weighted"]


@FORMATS
def test_weights_have_one_form_in_both_formats(tmp_path: Path, suffix: str) -> None:
    sketch = every_kind()
    core = sketch.write(tmp_path / f"core{suffix}")
    network = open_network(core)
    kernels = [step["kernel"] for step in sketch.steps if "kernel" in step]
    for place, kernel in zip(weighted(core), kernels, strict=True):
        assert np.array_equal(network.weights(place), kernel)
    assert [network.operators[place].groups for place in weighted(core)] == [1, 8, 4, 1]


@FORMATS
def test_writing_what_was_read_changes_nothing(tmp_path: Path, suffix: str) -> None:
    core = every_kind().write(tmp_path / f"core{suffix}")
    network = open_network(core)
    for place in weighted(core):
        network.set_weights(place, network.weights(place))
        bias = network.bias(place)
        assert bias is not None
        network.set_bias(place, bias)
    network.save(tmp_path / f"same{suffix}")
    assert np.array_equal(answers(core, images(4)), answers(tmp_path / f"same{suffix}", images(4)))


@FORMATS
def test_a_shared_bias_stays_that_of_the_others(tmp_path: Path, suffix: str) -> None:
    core = every_kind().write(tmp_path / f"core{suffix}")
    network = open_network(core)
    first, second = weighted(core)[:2]
    before = network.bias(second)
    assert before is not None
    network.set_bias(first, np.full(8, 7, np.float32))
    network.save(core)
    written = [open_network(core).bias(place) for place in (first, second)]
    assert [None if bias is None else bias.tolist() for bias in written] == [[7] * 8, before.tolist()]
    assert np.isfinite(answers(core, images(1))).all()


@FORMATS
def test_a_layer_without_a_bias_can_get_one(tmp_path: Path, suffix: str) -> None:
    core = every_kind().write(tmp_path / f"core{suffix}")
    last = weighted(core)[-1]
    _drop_bias(core, last)
    network = open_network(core)
    assert network.bias(last) is None
    reference = answers(core, images(3))
    network.set_bias(last, np.arange(4, dtype=np.float32))
    network.save(core)
    assert np.allclose(answers(core, images(3)), reference + np.arange(4), atol=1e-5)


@FORMATS
def test_a_raised_clip_is_a_relu(tmp_path: Path, suffix: str) -> None:
    sketch = Sketch()
    sketch.conv("first", "image", 4, "relu6")
    sketch.one("relu6", "again", "first")
    core = sketch.write(tmp_path / f"core{suffix}")
    assert answers(core, images(4)).max() == 6
    network = open_network(core)
    clips = [place for place, operator in enumerate(network.operators) if operator.activation == "clip"]
    assert [network.operators[place].clip for place in clips] == [6, 6]
    for place in clips:
        network.raise_clip(place)
    network.save(core)
    raised = answers(core, images(4))
    assert raised.max() > 6
    assert raised.min() == 0


@FORMATS
def test_a_twin_computes_beside_the_layer(tmp_path: Path, suffix: str) -> None:
    core = every_kind().write(tmp_path / f"core{suffix}")
    network = open_network(core)
    for place in weighted(core):
        network.add_twin(place, 2 * network.weights(place))
    network.save(tmp_path / f"twins{suffix}")
    image = images(1) if suffix == ".tflite" else images(1).transpose(0, 3, 1, 2)
    seen = open_taps(tmp_path / f"twins{suffix}").run(np.ascontiguousarray(image, np.float32))
    last = network.operators[weighted(core)[-1]].output
    bias = network.bias(weighted(core)[-1])
    assert bias is not None
    assert np.allclose(seen[f"{last}/edgekit_twin"], 2 * (seen[last] - bias), atol=1e-4)
    assert sum(name.endswith("/edgekit_twin") for name in seen) == 4


@pytest.mark.parametrize("scheme", ["weight8", "weight4"])
def test_quantized_weights_are_those_that_the_runtime_computes_with(tmp_path: Path, scheme: str) -> None:
    core = every_kind().write(tmp_path / "core.tflite")
    child = tmp_path / "child.tflite"
    quantize_tflite(str(core), str(child), Plan(scheme).to_json(), None, "float32", False)
    network = open_network(core)
    found = network.quantized_weights(child)
    assert list(found) == weighted(core)
    for place, weights in found.items():
        network.set_weights(place, weights)
    network.save(tmp_path / "same.tflite")
    made = answers(tmp_path / "same.tflite", images(4))
    assert np.allclose(made, answers(child, images(4)), rtol=1e-4, atol=1e-4)
    assert not np.allclose(made, answers(core, images(4)), rtol=1e-4, atol=1e-4)


def test_names_that_are_not_unique_are_left_alone(tmp_path: Path) -> None:
    sketch = every_kind()
    core = sketch.write(tmp_path / "core.tflite")
    content = core.read_bytes()
    assert content.count(b"deep\0") == 1
    core.write_bytes(content.replace(b"deep\0", b"mean\0"))
    links, alone = find_links(open_network(core))
    assert [link.second for link in links] == []
    assert "names of their own" in " ".join(alone.values())


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x1c\0\0\0TFL3" + bytes(200)])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "core.tflite").write_bytes(content)
    with pytest.raises(ModelFileError):
        open_network(tmp_path / "core.tflite")


def test_channels_are_followed_through_transposes(tmp_path: Path) -> None:
    """As tf2onnx writes Keras: maps are NHWC, and turned for each convolution; the bias is added outside of it."""
    network = open_network(_turning(tmp_path / "core.onnx"))
    links, _ = find_links(network)
    assert [(network.operators[link.first].output, network.operators[link.second].output) for link in links] == [
        ("conv", "last"),
        ("last", "scores"),
    ]
    assert [len(link.shifts) for link in links] == [1, 0]
    assert links[1].channels.tolist() == [0, 1, 2] * 16  # flattened maps, channels last


def test_what_a_branch_reads_has_another_reader(tmp_path: Path) -> None:
    links, alone = find_links(open_network(_branching(tmp_path / "core.onnx")))
    assert links == []
    assert alone["conv"] == "it makes the output"


def _turning(path: Path) -> Path:
    from onnx import helper

    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Transpose", ["image"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["turned", "first"], ["conv"], kernel_shape=[1, 1]),
        helper.make_node("Transpose", ["conv"], ["back"], perm=[0, 2, 3, 1]),
        helper.make_node("Add", ["back", "bias"], ["added"]),
        helper.make_node("Relu", ["added"], ["relu"]),
        helper.make_node("Transpose", ["relu"], ["again"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["again", "second"], ["last"], kernel_shape=[3, 3]),
        helper.make_node("Transpose", ["last"], ["maps"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["maps", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "dense"], ["scores"]),
    ]
    return _onnx(
        path,
        nodes,
        ["batch", 6, 6, 3],
        ["batch", 2],
        first=rng.normal(size=(5, 3, 1, 1)).astype(np.float32),
        bias=rng.normal(size=5).astype(np.float32),
        second=rng.normal(size=(3, 5, 3, 3)).astype(np.float32),
        flat=np.array([-1, 48], np.int64),
        dense=rng.normal(size=(48, 2)).astype(np.float32),
    )


def _branching(path: Path) -> Path:
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Neg", ["conv"], ["inner"])], "branch", [], [value])
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["conv"], kernel_shape=[1, 1]),
        helper.make_node("Conv", ["conv", "second"], ["last"], kernel_shape=[1, 1]),
        helper.make_node("If", ["yes"], ["chosen"], then_branch=branch, else_branch=branch),
        helper.make_node("Add", ["last", "chosen"], ["scores"]),
    ]
    ones = np.ones((3, 3, 1, 1), np.float32)
    sides = ["batch", 3, 6, 6]
    return _onnx(path, nodes, sides, sides, first=ones, second=2 * ones, yes=np.array(True))


def _onnx(path: Path, nodes: list[Any], image: list[Any], scores: list[Any], **constants: Any) -> Path:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, scores)],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path


def _drop_bias(core: Path, place: int) -> None:
    """Take the bias from an operator, as files have it that never had one."""
    if core.suffix == ".onnx":
        import onnx

        model = onnx.load(str(core))
        del model.graph.node[place].input[2]
        onnx.save(model, str(core))
        return
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    made = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(core.read_bytes(), 0))
    inputs = made.subgraphs[0].operators[place].inputs
    made.subgraphs[0].operators[place].inputs = [int(index) for index in inputs[:2]]
    builder = flatbuffers.Builder(1 << 12)
    builder.Finish(made.Pack(builder), b"TFL3")
    core.write_bytes(builder.Output())
