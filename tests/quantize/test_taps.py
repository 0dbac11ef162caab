"""A look at the activations of files of all kinds, made here or by others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core.errors import ModelFileError
from edgekit.quantize import litert_adapter, onnx_adapter
from edgekit.quantize.plan import Plan
from edgekit.quantize.taps import open_taps
from edgekit.runtime.interpreters import open_interpreter
from tests import models
from tests.keras_models import images
from tests.session_models import write_nchw_onnx

# litert-quantizer looks into the interpreter on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:Warning. Enabling `experimental_preserve_all_tensors`")

IMAGE = images(1, 3, models.SIDE, models.SIDE)[0].astype(np.float32)
MEANS = IMAGE.mean((1, 2))
RANGES = {"means": [0.0, 255.0], "logits": [0.0, 6.0], "scores": [0.0, 1.0]}


def named(file: models.TFLiteFile) -> None:
    """As quantizers want it."""
    graph = file.graph
    entries = []
    for name, index in (("image", 0), ("scores", len(graph.tensors) - 1)):
        entry = file.schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        entries.append(entry)
    signature = file.schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs, signature.outputs = entries[:1], entries[1:]
    file.model.signatureDefs = [signature]


def test_activations_are_what_the_layers_compute(tmp_path: Path) -> None:
    for path in (models.tflite(tmp_path / "m.tflite"), models.onnx(tmp_path / "m.onnx")):
        taps = open_taps(path)
        found = taps.run(IMAGE)
        assert tuple(found) == taps.names
        assert [name for name in taps.names if name != "pixels"] == ["means", "logits", "scores"]
        assert found["means"] == pytest.approx(MEANS, rel=1e-5)
        assert found["logits"] == pytest.approx(MEANS @ models.WEIGHTS.T, rel=1e-5)
        assert np.array_equal(found["scores"], open_interpreter(path).run(IMAGE))


def test_a_run_keeps_its_values(tmp_path: Path) -> None:
    for path in (models.tflite(tmp_path / "m.tflite"), models.onnx(tmp_path / "m.onnx")):
        taps = open_taps(path)
        first = taps.run(IMAGE)
        before = {name: values.copy() for name, values in first.items()}
        assert not np.array_equal(taps.run(IMAGE / 2)["means"], before["means"])
        assert all(np.array_equal(first[name], before[name]) for name in first)


def test_weights_outside_of_the_flatbuffer_and_a_trailer(tmp_path: Path) -> None:
    expected = open_taps(models.tflite(tmp_path / "inside.tflite")).run(IMAGE)
    for path in (
        models.tflite(tmp_path / "outside.tflite", weights_outside=True),
        models.tflite(tmp_path / "zip.tflite", zip_trailer=True),
    ):
        found = open_taps(path).run(IMAGE)
        assert all(np.array_equal(found[tensor], expected[tensor]) for tensor in expected)


@pytest.mark.parametrize(("io", "dtype"), [("uint8", "uint8"), ("int8", "int8"), ("float32", "float32")])
def test_quantized_activations_are_dequantized(tmp_path: Path, io: str, dtype: str) -> None:
    source, target = models.tflite(tmp_path / "m.tflite", batch=1, damage=named), tmp_path / "q.tflite"
    litert_adapter.quantize(str(source), str(target), Plan("int8").to_json(), RANGES, io, True)
    model = open_interpreter(target)
    assert model.input.dtype == dtype
    tensor = (IMAGE - 128 if dtype == "int8" else IMAGE).astype(dtype)
    found = open_taps(target).run(tensor)
    steps = {"means": 1.0, "logits": 6 / 255}
    expected = {"means": MEANS, "logits": MEANS @ models.WEIGHTS.T}
    for name, step in steps.items():
        assert found[name] == pytest.approx(expected[name], abs=2 * step), name
    assert found[open_taps(target).names[-1]] == pytest.approx(model.run(tensor), abs=1e-6)


def test_quantized_activations_of_an_onnx_file(tmp_path: Path) -> None:
    source, core, target = write_nchw_onnx(tmp_path / "m.onnx"), tmp_path / "core.onnx", tmp_path / "q.onnx"
    onnx_adapter.prepare(str(source), str(core))
    tensor = images(1, 3)[0].transpose(0, 3, 1, 2).astype(np.float32)
    plain = open_taps(core).run(tensor)
    ranges = {name: [min(0.0, float(values.min())), float(values.max())] for name, values in plain.items()}
    onnx_adapter.quantize(str(core), str(target), Plan("int8").to_json(), ranges)
    found = open_taps(target).run(tensor)
    assert set(plain) >= set(found) - {"pixel_values"} >= {"maps", "pooled", "logits"}
    for name in ("maps", "pooled", "logits"):
        assert found[name] == pytest.approx(plain[name], abs=0.02 * float(np.ptp(plain[name])))
        assert len(np.unique(found[name])) <= 256


def test_two_tensors_of_one_name(tmp_path: Path) -> None:
    def rename(file: models.TFLiteFile) -> None:
        for tensor in file.graph.tensors:
            if tensor.name == "logits":
                tensor.name = "means"

    found = open_taps(models.tflite(tmp_path / "m.tflite", damage=rename)).run(IMAGE)
    first, second, last = found.values()
    names = list(found)
    assert names[0] == "means"
    assert names[1].startswith("means#")
    assert first == pytest.approx(MEANS, rel=1e-5)
    assert second == pytest.approx(MEANS @ models.WEIGHTS.T, rel=1e-5)
    assert last.sum() == pytest.approx(1)


def test_only_the_main_graph_is_looked_at(tmp_path: Path) -> None:
    def second(file: models.TFLiteFile) -> None:
        graph = file.schema.SubGraphT()
        tensor = file.schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = "other", [1], 0
        graph.tensors, graph.inputs, graph.outputs, graph.operators = [tensor], [0], [0], []
        file.model.subgraphs.append(graph)

    taps = open_taps(models.tflite(tmp_path / "m.tflite", damage=second))
    assert taps.names == ("means", "logits", "scores")
    assert taps.run(IMAGE)["means"] == pytest.approx(MEANS, rel=1e-5)


def test_weights_that_are_computed_from_weights_are_no_activations(tmp_path: Path) -> None:
    source, target = models.tflite(tmp_path / "m.tflite", batch=1, damage=named), tmp_path / "half.tflite"
    for scheme in ("float16", "weight8"):
        litert_adapter.quantize(str(source), str(target), Plan(scheme).to_json(), None, "float32", True)
        assert open_taps(target).names == ("means", "logits", "scores")


def shifted(change: Callable[[Any], None]) -> models.Damage:
    def damage(file: models.TFLiteFile) -> None:
        change(file.graph)

    return damage


def _far_output(graph: Any) -> None:
    graph.operators[0].outputs = [99]


def _far_input(graph: Any) -> None:
    graph.operators[1].inputs = [99, 1]


def _far_buffer(graph: Any) -> None:
    graph.tensors[1].buffer = 99


@pytest.mark.parametrize("change", [_far_output, _far_input, _far_buffer])
def test_a_damaged_file_is_refused(tmp_path: Path, change: Callable[[Any], None]) -> None:
    path = models.tflite(tmp_path / "bad.tflite", damage=shifted(change))
    with pytest.raises(ModelFileError, match=r"bad\.tflite|damaged"):
        open_taps(path)


def test_a_file_that_ends_too_soon_is_refused(tmp_path: Path) -> None:
    for path in (models.tflite(tmp_path / "m.tflite"), models.onnx(tmp_path / "m.onnx")):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ModelFileError):
            open_taps(path)


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    for path in (models.keras(tmp_path / "m.keras"), tmp_path / "text.tflite"):
        if not path.exists():
            path.write_bytes(b"no model")
        with pytest.raises(ModelFileError, match=r"not a \.tflite or \.onnx file"):
            open_taps(path)


def test_activations_too_large_to_look_at_are_refused(tmp_path: Path) -> None:
    def grow(file: models.TFLiteFile) -> None:
        for tensor in file.graph.tensors:
            if tensor.name == "means":
                tensor.shape = [1 << 15, 1 << 15]

    with pytest.raises(ModelFileError, match="too large to look at"):
        open_taps(models.tflite(tmp_path / "m.tflite", batch=1, damage=grow))
