"""Files that crash, hang or fill the memory do so in a child process, and are refused."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core import child, files, probe, versions
from edgekit.core.errors import EdgekitError, ModelFileError, SpecError
from edgekit.runtime import modelfile
from tests import models


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that knows no file yet."""
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_child(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and child processes cannot be started any more."""
    return lambda: monkeypatch.setattr(sys, "executable", "/nonexistent/python")


# --- good files


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("make", [models.tflite, models.onnx])
def test_a_good_file_is_tried_once(
    tmp_path: Path, make: Callable[..., Path], dtype: str, cache: Path, no_child: Callable[[], None]
) -> None:
    path = make(tmp_path / "model", dtype=dtype)
    probe.vet(path)
    [mark] = os.listdir(cache / "vetted")
    assert mark.startswith(files.sha256(path))
    no_child()
    probe.vet(path)
    with pytest.raises(OSError, match="nonexistent"):
        probe.vet(models.with_spec(path, models.spec(dtype)))  # another file by now


def test_a_file_that_edgekit_made_and_ran_is_not_tried(tmp_path: Path, no_child: Callable[[], None]) -> None:
    path = models.tflite(tmp_path / "model.tflite")
    probe.mark_vetted(path)
    no_child()
    probe.vet(path)


@pytest.mark.parametrize("interpreter", ["ai-edge-litert", "tflite-runtime", "onnxruntime"])
def test_another_interpreter_tries_the_file_again(
    tmp_path: Path, interpreter: str, no_child: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = models.tflite(tmp_path / "model.tflite")
    probe.mark_vetted(path)
    no_child()
    found = versions.of(*probe.INTERPRETERS)
    monkeypatch.setattr(versions, "of", lambda *_: {**found, interpreter: "99.0"})
    with pytest.raises(OSError, match="nonexistent"):
        probe.vet(path)


def test_a_file_that_changes_while_it_is_tried_is_not_remembered(
    tmp_path: Path, no_child: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = models.tflite(tmp_path / "model.tflite")
    with monkeypatch.context() as patch:
        patch.setattr(child, "call", lambda *_, **__: models.with_spec(path))
        probe.vet(path)
    no_child()
    with pytest.raises(OSError, match="nonexistent"):
        probe.vet(path)


def test_other_kinds_are_not_its_business(tmp_path: Path, no_child: Callable[[], None]) -> None:
    no_child()
    probe.vet(models.keras(tmp_path / "model.keras"))
    (tmp_path / "model.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    probe.vet(tmp_path / "model.h5")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    probe.vet(tmp_path / "photo.png")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        probe.vet(tmp_path / "missing.tflite")


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file" / "cache", Path("/proc/cache")):
        monkeypatch.setenv("EDGEKIT_CACHE", str(folder))
        path = models.tflite(tmp_path / "model.tflite")
        probe.vet(path)
        probe.mark_vetted(path)
        with pytest.raises(ModelFileError):
            probe.vet(models.fails_when_run(tmp_path / "bad.tflite"))


# --- sides that the file leaves open


def open_sides(model: Any) -> None:
    """Flatten the image, so that only one size fits, which the file does not tell."""
    from onnx import helper, numpy_helper

    dimensions = model.graph.input[0].type.tensor_type.shape.dim
    dimensions[1].dim_param, dimensions[2].dim_param = "height", "width"
    model.graph.node[1].CopyFrom(helper.make_node("Flatten", ["pixels"], ["means"]))
    for tensor in model.graph.initializer:
        if tensor.name == "weights":
            tensor.CopyFrom(numpy_helper.from_array(np.ones((8 * 8 * 3, 3), np.float32), "weights"))


def test_open_sides_take_the_size_that_is_said(tmp_path: Path) -> None:
    path = models.onnx(tmp_path / "model.onnx", damage=open_sides)
    with pytest.raises(ModelFileError, match="fails when run"):
        probe.vet(path)
    with pytest.raises(ModelFileError, match="fails when run"):
        probe.vet(path, (8, 9))
    probe.vet(path, (8, 8))


def test_open_sides_take_the_spec_s_size(tmp_path: Path) -> None:
    probe.vet(models.with_spec(models.onnx(tmp_path / "model.onnx", damage=open_sides)))


@pytest.mark.parametrize("declared", [["h", "w", 3], [3, "h", "w"], [1, "h", "w"]])
def test_open_sides_are_run_at_a_usual_size(tmp_path: Path, declared: list[int | str]) -> None:
    """A pooling window of 32 pixels does not fit into an image of one."""
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Transpose", ["image"], ["first"], perm=[0, 3, 1, 2])] if declared[2] == 3 else []
    nodes.append(helper.make_node("AveragePool", ["first" if nodes else "image"], ["scores"], kernel_shape=[32, 32]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", *declared])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "pool", [image], [scores])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    probe.vet(tmp_path / "model.onnx")


# --- bad files


def hungry_tflite(path: Path) -> Path:
    """Fills a tensor of 4 TB."""
    file = models.TFLiteFile()
    image = file.tensor("image", [1, 8, 8, 3])
    shape = file.tensor("shape", [2], "INT32", np.array([1 << 20, 1 << 20], np.int32))
    zero, scores = file.tensor("zero", [], data=np.zeros((), np.float32)), file.tensor("scores", [1 << 20, 1 << 20])
    file.operator("FILL", [shape, zero], [scores], "FillOptions")
    path.write_bytes(file.content([image], [scores]))
    return path


def hungry_onnx(path: Path) -> Path:
    """Fills a tensor of 4 TB."""
    from onnx import helper, numpy_helper

    def damage(model: Any) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array([1 << 20, 1 << 20], np.int64), "shape"))
        model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["shape"], ["huge"]))
        model.graph.node.append(helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0))
        model.graph.node[-2].output[0] = "few"
        model.graph.node.append(helper.make_node("Add", ["few", "sum"], ["scores"]))

    return models.onnx(path, damage=damage)


def endless(path: Path) -> Path:
    """Loops 2**62 times."""
    from onnx import TensorProto, helper, numpy_helper

    def damage(model: Any) -> None:
        body = helper.make_graph(
            [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Add", ["state", "one"], ["more"])],
            "body",
            [
                helper.make_tensor_value_info("number", TensorProto.INT64, []),
                helper.make_tensor_value_info("on", TensorProto.BOOL, []),
                helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
            ],
            [
                helper.make_tensor_value_info("still", TensorProto.BOOL, []),
                helper.make_tensor_value_info("more", TensorProto.FLOAT, None),
            ],
        )
        for name, value in (("times", np.int64(2**62)), ("yes", np.bool_(True)), ("one", np.float32(1))):
            model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
        model.graph.node[-1].output[0] = "first"
        model.graph.node.append(helper.make_node("Loop", ["times", "yes", "first"], ["scores"], body=body))

    return models.onnx(path, damage=damage)


def outside(path: Path) -> Path:
    """Names the system's password file as its weights."""

    def damage(model: Any) -> None:
        [tensor] = [tensor for tensor in model.graph.initializer if tensor.name == "weights"]
        tensor.ClearField("raw_data")
        tensor.data_location = 1
        for key, value in (("location", "../../../../../../../../etc/passwd"), ("offset", "0"), ("length", "36")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    return models.onnx(path, damage=damage)


def of_strings(path: Path) -> Path:
    def damage(model: Any) -> None:
        model.graph.input[0].type.tensor_type.elem_type = 8  # which Cast turns into numbers

    return models.onnx(path, damage=damage)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (models.fails_when_run, "fails when run: gather index out of bounds"),
        (hungry_tflite, "The TFLite runtime refuses model: "),
        (hungry_onnx, "fails when run: .*Failed to allocate memory"),
        (outside, "ONNX Runtime refuses model: .*External data path"),
        (of_strings, "takes string, which is no kind of image"),
    ],
)
def test_a_file_that_does_not_work(
    tmp_path: Path, make: Callable[[Path], Path], message: str, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path / "model")
    with pytest.raises(ModelFileError, match=message) as caught:
        probe.vet(path)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message
    assert "root:" not in str(caught.value)
    assert not (cache / "vetted").exists() or not os.listdir(cache / "vetted")
    assert capfd.readouterr() == ("", "")


def test_a_file_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "TIMEOUT", 2.0)
    with pytest.raises(ModelFileError, match="needs more than 2 s or 8 GB to run once"):
        probe.vet(endless(tmp_path / "model.onnx"))


def test_a_file_of_something_else(tmp_path: Path) -> None:
    def damage(model: Any) -> None:
        model.graph.output.append(model.graph.input[0])

    with pytest.raises(SpecError, match="1 inputs and 2 outputs"):
        probe.vet(models.onnx(tmp_path / "model.onnx", damage=damage))


def test_a_spec_that_is_not_valid(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="not valid JSON"):
        probe.vet(models.carrying(tmp_path / "model.tflite", b"{"))


def test_whole_numbers_can_be_fed(tmp_path: Path) -> None:
    """Whether they are an image is for the import to say."""
    probe.vet(models.onnx(tmp_path / "model.onnx", dtype="int64"))


@pytest.mark.slow
@pytest.mark.parametrize("make", [models.tflite, models.onnx])
def test_damaged_files_never_take_this_process_down(tmp_path: Path, make: Callable[..., Path]) -> None:
    """Some of these crash LiteRT (measured: 10 in 3,000)."""
    good = models.with_spec(make(tmp_path / "good")).read_bytes()
    end = modelfile.tflite_body(memoryview(good))[1] if make is models.tflite else len(good)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        content = bytearray(good)
        for at in rng.integers(0, end, 4):
            content[at] = rng.integers(256)
        (tmp_path / "bad").write_bytes(content)
        try:
            probe.vet(tmp_path / "bad")
        except EdgekitError:
            refused += 1
    assert refused > 5
