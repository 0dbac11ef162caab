"""Edits of `.tflite` and `.onnx` graphs, told by what the edited files answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.convert.float_core import GRAPHS
from edgekit.convert.onnx_graph import OnnxGraph
from edgekit.convert.tflite_graph import TFLiteGraph
from edgekit.core.errors import ImportRefused, ModelFileError
from edgekit.runtime.interpreters import open_interpreter
from edgekit.runtime.spec import Quantization
from tests import models
from tests.keras_models import images
from tests.session_models import nchw_logits, write_nchw_onnx

PIXELS = images(6, 0, models.SIDE, models.SIDE)[0]
EXPECTED = np.stack([models.expected(image) for image in PIXELS])
MEAN, STD = (123.7, 116.3, 103.5), (58.4, 57.1, 57.4)
KINDS = ["tflite", "onnx"]

Write = Callable[..., Path]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def write(kind: str, tmp_path: Path) -> Write:
    """Write the hand-made model of this kind; takes what `tests.models.tflite` and `onnx` take."""

    def make(**arguments: Any) -> Path:
        return getattr(models, kind)(tmp_path / f"source.{kind}", **arguments)  # type: ignore[no-any-return]

    return make


def edited(source: Path, edit: Callable[[Any], object]) -> Path:
    """The file after an edit, beside its source."""
    graph = GRAPHS[source.suffix[1:]](source)
    edit(graph)
    target = source.with_name(f"edited{source.suffix}")
    graph.save(target)
    return target


def test_normalisation_inside_equals_normalisation_outside(write: Write) -> None:
    source = write(activation="")  # logits show more than probabilities
    outside = (PIXELS.astype(np.float32) - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    expected = open_interpreter(source).run(outside)

    def edit(graph: Any) -> None:
        graph.name_tensors()
        graph.prepend_normalisation(MEAN, STD, "NHWC")

    answers = open_interpreter(edited(source, edit)).run(PIXELS.astype(np.float32))
    assert np.abs(answers - expected).max() < 1e-5


def test_normalisation_of_channels_first(tmp_path: Path) -> None:
    pixels = images(6)[0].transpose(0, 3, 1, 2).astype(np.float32)
    outside = (pixels - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))

    def edit(graph: Any) -> None:
        graph.name_tensors()
        graph.prepend_normalisation(MEAN, STD, "NCHW")

    target = edited(write_nchw_onnx(tmp_path / "source.onnx"), edit)
    assert np.abs(open_interpreter(target).run(pixels) - nchw_logits(outside.astype(np.float32))).max() < 1e-4


def test_bytes_are_the_values(write: Write) -> None:
    def edit(graph: Any) -> None:
        graph.name_tensors()
        graph.prepend_byte_input()

    target = open_interpreter(edited(write(), edit))
    assert (target.input.name, target.input.dtype, target.output.name) == ("image", "uint8", "scores")
    assert target.input.quantization in (None, Quantization(1.0, 0))
    assert np.abs(target.run(PIXELS) - EXPECTED).max() < 1e-6


def test_all_edits_together(write: Write) -> None:
    def edit(graph: Any) -> None:
        graph.strip_byte_input()  # there is none
        graph.require_float("source")
        graph.name_tensors()
        graph.prepend_normalisation((10.0,) * 3, (2.0,) * 3, "NHWC")
        graph.prepend_byte_input()

    target = open_interpreter(edited(write(), edit))
    expected = open_interpreter(write()).run((PIXELS.astype(np.float32) - 10) / 2)
    assert np.abs(target.run(PIXELS) - expected).max() < 1e-5


def test_stripping_undoes_prepending(kind: str, write: Write) -> None:
    named = edited(write(), lambda graph: graph.name_tensors())
    before = open_interpreter(named).run(PIXELS.astype(np.float32))

    def there_and_back(graph: Any) -> None:
        graph.prepend_byte_input()
        graph.strip_byte_input()
        graph.name_tensors()

    back = edited(named, there_and_back)
    model = open_interpreter(back)
    assert (model.input.name, model.input.dtype) == ("image", "float32")
    assert np.array_equal(model.run(PIXELS.astype(np.float32)), before)
    if kind == "onnx":
        import onnx

        assert onnx.load(str(back)) == onnx.load(str(named))


def test_stripping_leaves_other_models_alone(write: Write) -> None:
    source = write()
    before = open_interpreter(source).run(PIXELS.astype(np.float32))
    after = open_interpreter(edited(source, lambda graph: graph.strip_byte_input()))
    assert np.array_equal(after.run(PIXELS.astype(np.float32)), before)


def test_the_signature_and_both_tensors_get_edgekits_names(tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    def rename(file: models.TFLiteFile) -> None:
        for tensor in file.graph.tensors:
            tensor.name = {"image": "serving_default_x:0", "scores": "StatefulPartitionedCall:0"}.get(
                tensor.name, tensor.name
            )

    target = edited(models.tflite(tmp_path / "source.tflite", damage=rename), lambda graph: graph.name_tensors())
    model = open_interpreter(target)
    assert (model.input.name, model.output.name) == ("image", "scores")
    signatures = Interpreter(str(target)).get_signature_list()
    assert signatures == {"serving_default": {"inputs": ["image"], "outputs": ["scores"]}}


def test_tensors_that_have_edgekits_names_already(tmp_path: Path) -> None:
    def rename_onnx(model: Any) -> None:
        graph = model.graph
        graph.input[0].name = graph.node[0].input[0] = "scores"
        graph.node[1].output[0] = graph.node[2].input[0] = "image"
        graph.output[0].name = graph.node[3].output[0] = "probabilities"

    target = edited(models.onnx(tmp_path / "source.onnx", damage=rename_onnx), lambda graph: graph.name_tensors())
    model = open_interpreter(target)
    assert (model.input.name, model.output.name) == ("image", "scores")
    assert np.abs(model.run(PIXELS.astype(np.float32)) - EXPECTED).max() < 1e-6

    def rename_tflite(file: models.TFLiteFile) -> None:
        for tensor in file.graph.tensors:
            tensor.name = {"means": "scores", "logits": "image"}.get(tensor.name, tensor.name)

    target = edited(models.tflite(tmp_path / "source.tflite", damage=rename_tflite), lambda graph: graph.name_tensors())
    names = [tensor.name for tensor in TFLiteGraph(target)._graph.tensors]
    assert names.count(b"image") == names.count(b"scores") == 1
    assert np.abs(open_interpreter(target).run(PIXELS.astype(np.float32)) - EXPECTED).max() < 1e-6


def test_old_onnx_files_list_their_weights_among_the_inputs(tmp_path: Path) -> None:
    def weights_first(model: Any) -> None:
        from onnx import TensorProto, helper

        model.ir_version = 3
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", models.SIDE, models.SIDE, 3])
        del model.graph.input[:]
        model.graph.input.extend(
            [
                helper.make_tensor_value_info("weights", TensorProto.FLOAT, [3, 3]),
                helper.make_tensor_value_info("axes", TensorProto.INT64, [2]),
                image,
            ]
        )

    def edit(graph: Any) -> None:
        graph.require_float("source")
        graph.name_tensors()
        graph.prepend_byte_input()

    target = edited(models.onnx(tmp_path / "source.onnx", damage=weights_first), edit)
    assert np.abs(open_interpreter(target).run(PIXELS) - EXPECTED).max() < 1e-6


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_half_precision_is_not_mistaken_for_a_byte_input(tmp_path: Path, dtype: str) -> None:
    def cast_to_half(model: Any) -> None:
        from onnx import TensorProto, helper

        model.graph.node[0].attribute[0].i = TensorProto.FLOAT16
        model.graph.node.insert(1, helper.make_node("Cast", ["pixels"], ["wide"], to=TensorProto.FLOAT))
        model.graph.node[2].input[0] = "wide"

    source = models.onnx(tmp_path / "source.onnx", dtype=dtype, damage=cast_to_half)
    target = edited(source, lambda graph: graph.strip_byte_input())
    assert len(OnnxGraph(target)._graph.node) == 5
    assert np.abs(open_interpreter(target).run(PIXELS.astype(dtype)) - EXPECTED).max() < 1e-6


def test_quantized_models_are_refused(tmp_path: Path, int8_tflite: Path) -> None:
    with pytest.raises(ImportRefused, match=r"mine\.tflite is quantized already"):
        TFLiteGraph(int8_tflite).require_float("mine.tflite")
    with pytest.raises(ImportRefused, match="quantized already"):
        TFLiteGraph(models.tflite(tmp_path / "bytes.tflite", dtype="uint8")).require_float("bytes.tflite")
    with pytest.raises(ImportRefused, match=r"bytes\.onnx is quantized already"):
        OnnxGraph(models.onnx(tmp_path / "bytes.onnx", dtype="uint8")).require_float("bytes.onnx")


def test_weights_outside_of_the_flatbuffer_are_kept(tmp_path: Path) -> None:
    source = models.tflite(tmp_path / "source.tflite", weights_outside=True)
    target = edited(source, lambda graph: graph.name_tensors())
    assert np.abs(open_interpreter(target).run(PIXELS.astype(np.float32)) - EXPECTED).max() < 1e-6


def test_several_subgraphs_are_refused(tmp_path: Path) -> None:
    def twice(file: models.TFLiteFile) -> None:
        file.model.subgraphs.append(file.graph)

    with pytest.raises(ModelFileError, match="several subgraphs"):
        TFLiteGraph(models.tflite(tmp_path / "source.tflite", damage=twice))
