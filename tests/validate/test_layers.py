"""Networks made bad in a known place: that layer is named, with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.cli import common
from edgekit.convert.run import convert
from edgekit.core.errors import EdgekitError, ModelFileError
from edgekit.data.dataset import open_dataset
from edgekit.runtime.modelfile import read_spec
from edgekit.runtime.preprocess import prepare
from edgekit.validate.layer_drift import BAD_DB, Drift, Layer
from edgekit.validate.layers import MAX_IMAGES, Layers
from edgekit.validate.run import validate
from tests import models
from tests.validate.edited import edited, multiply, rescaled_range

ORDER = ["rescaling", "rescaling", "stem", "depthwise", "pointwise", "pool", "colours", "scores"]


def drift(reference: Path, candidate: Path, data: Path) -> Drift:
    with Layers(reference, [candidate]) as layers:
        return layers.drift(0, open_dataset(data))


def first_bad(found: Drift) -> Layer:
    assert found.first_bad is not None, [layer.own_sqnr_db for layer in found.layers]
    return found.layers[found.first_bad]


@pytest.fixture(scope="module")
def int8_onnx(float_onnx: Path, many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("int8") / "int8.onnx"
    return convert(float_onnx, target, quantize="int8", calibrate=many, samples=60).path


def test_a_sound_candidate(float_tflite: Path, int8_tflite: Path, many: Path) -> None:
    found = drift(float_tflite, int8_tflite, many)
    assert [layer.name for layer in found.layers] == ORDER
    assert (found.images, found.unmatched, found.misshapen, found.first_bad) == (MAX_IMAGES, 0, 0, None)
    by_name = {layer.name: layer for layer in found.layers[:-1]}
    for name in ("stem", "depthwise", "pointwise"):
        layer = by_name[name]
        assert layer.own_sqnr_db is not None
        assert layer.sqnr_db is not None
        assert 30 < layer.own_sqnr_db < 60
        assert layer.sqnr_db <= layer.own_sqnr_db + 3  # what came before is in the drift as well
        assert layer.cosine > 0.999
        assert layer.weights is not None
        assert layer.weights.bits == 8
        assert layer.weights.per_channel
        values = layer.activations
        assert values.held_low is not None
        assert values.held_high is not None
        assert values.used is not None
        assert values.step is not None
        assert values.held_low <= values.low + values.step
        assert values.high <= values.held_high * 1.1
        assert 0.5 < values.used <= 1
        assert not layer.bad
        assert not layer.help
    assert found.worst is not None
    assert found.layers[found.worst].own_sqnr_db == min(
        layer.own_sqnr_db for layer in found.layers if layer.own_sqnr_db is not None
    )


def test_a_softmax_in_float_adds_nothing(float_tflite: Path, int8_tflite: Path, many: Path) -> None:
    last = drift(float_tflite, int8_tflite, many).layers[-1]
    assert last.kind == "SOFTMAX"
    assert last.sqnr_db is not None  # it passes on what it gets
    assert last.own_sqnr_db is None or last.own_sqnr_db > 100


def test_the_same_file_is_exact(float_tflite: Path, many: Path) -> None:
    found = drift(float_tflite, float_tflite, many)
    assert [layer.sqnr_db for layer in found.layers] == [None] * len(found.layers)
    assert all(layer.own_sqnr_db is None or layer.own_sqnr_db > 100 for layer in found.layers)
    assert found.first_bad is None


def test_a_range_that_is_too_narrow(float_tflite: Path, int8_tflite: Path, many: Path, tmp_path: Path) -> None:
    bad = edited(int8_tflite, tmp_path / "bad.tflite", rescaled_range("pointwise", 0.25))
    found = drift(float_tflite, bad, many)
    layer = first_bad(found)
    assert layer.name == "pointwise"
    assert layer.noise is not None
    assert layer.noise.clipping > 0.9
    assert layer.activations.clipped > 0.02
    assert layer.help[0].startswith("clipped: its values go from 0 to ")
    assert f"it can hold 0 to {layer.activations.held_high:.4g}" in layer.help[0]
    assert [each.name for each in found.layers if each.bad] == ["pointwise"]  # what follows only passes it on
    assert found.layers[-2].sqnr_db is not None
    assert found.layers[-2].sqnr_db < BAD_DB


def test_a_range_that_is_too_wide(float_tflite: Path, int8_tflite: Path, many: Path, tmp_path: Path) -> None:
    bad = edited(int8_tflite, tmp_path / "bad.tflite", rescaled_range("pointwise", 40))
    layer = first_bad(drift(float_tflite, bad, many))
    assert layer.name == "pointwise"
    assert layer.noise is not None
    assert layer.noise.rounding > 0.8
    assert layer.activations.used is not None
    assert layer.activations.used < 0.03
    assert layer.help[0].startswith("range too wide: ")


def spread(model: Any, tensors: dict[str, Any]) -> None:
    """Scale the output channels of `pointwise` by 2^-6 to 2^6 and undo it in `colours`: float answers stay the same."""
    graph = model.subgraphs[0]
    scales = np.exp2(np.linspace(-6, 6, 8).round()).astype(np.float32)
    pointwise = [operator for operator in graph.operators if len(operator.inputs) == 3][2]
    dense = [operator for operator in graph.operators if len(operator.inputs) == 3][3]
    multiply(model, graph.tensors[pointwise.inputs[1]], scales[:, None, None, None])
    multiply(model, graph.tensors[pointwise.inputs[2]], scales)
    multiply(model, graph.tensors[dense.inputs[1]], 1 / scales)


@pytest.mark.parametrize("kind", ["int8", "dynamic"])
def test_channels_that_differ(float_tflite: Path, many: Path, tmp_path: Path, kind: str) -> None:
    hard = edited(float_tflite, tmp_path / "hard.tflite", spread)
    calibrate = many if kind == "int8" else None
    made = convert(hard, tmp_path / f"{kind}.tflite", quantize=kind, calibrate=calibrate, samples=60).path
    found = drift(hard, made, many)
    layer = first_bad(found)
    if kind == "int8":
        # Its tensor as a whole is held well, but not as the next layer reads it.
        assert layer.name == "pointwise"
        assert layer.sqnr_db is not None
        assert layer.sqnr_db > BAD_DB
        assert layer.activations.channel_ratio > 100
        assert layer.activations.coarse_channels >= 3
        assert layer.help[0].startswith("its channels differ by ×")
    else:  # activations are float; the dense layer's weights have one scale for what reads large and small channels
        assert layer.name == "colours"
        assert layer.weights is not None
        assert layer.weights.input_ratio > 1000
        assert layer.help[0].startswith("the weights of its input channels differ by ×")
    assert "equalization" in layer.help[0]


def test_onnx(float_onnx: Path, int8_onnx: Path, many: Path) -> None:
    found = drift(float_onnx, int8_onnx, many)
    assert found.first_bad is None
    named = {layer.name for layer in found.layers}
    assert {"relu", "pointwise", "pool"} <= named
    for layer in found.layers:
        assert layer.own_sqnr_db is None or layer.own_sqnr_db > 28
        assert layer.cosine > 0.99
    relu = next(layer for layer in found.layers if layer.tensor.endswith("pointwise_1/Relu:0"))
    assert relu.activations.channels == 8
    assert relu.activations.held_low == 0


def test_operators_on_integers_in_onnx(float_onnx: Path, many: Path, tmp_path: Path) -> None:
    """ONNX Runtime's QOperator format has scales in its operators, and ReLUs in the ranges of what is before them."""
    import onnxruntime.quantization as quantization

    spec = read_spec(float_onnx)
    assert spec is not None
    name = spec.input.name
    data = open_dataset(many)
    images = iter([prepare(data.read(index, "exif"), spec)[None] for index in range(20)])

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, Any] | None:
            image = next(images, None)
            return None if image is None else {name: image}

    target = tmp_path / "integers.onnx"
    form = quantization.QuantFormat.QOperator
    quantization.quantize_static(str(float_onnx), str(target), Reader(), quant_format=form)
    found = drift(float_onnx, target, many)
    assert found.first_bad is None, [(layer.name, layer.own_sqnr_db) for layer in found.layers]
    layers = {layer.tensor: layer for layer in found.layers}
    assert layers["functional_1/relu_1/Relu6"].activations.held_low == 0
    assert "functional_1/norm_1/batchnorm/add_1" not in layers
    assert found.layers[-1].tensor == "scores"


def test_a_bad_range_in_onnx(float_onnx: Path, int8_onnx: Path, many: Path, tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(int8_onnx))
    [scale] = [one for one in model.graph.initializer if "pointwise" in one.name and one.name.endswith("Relu:0_scale")]
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) / np.float32(8), scale.name))
    onnx.save(model, str(tmp_path / "bad.onnx"))
    layer = first_bad(drift(float_onnx, tmp_path / "bad.onnx", many))
    assert layer.name == "pointwise"
    assert layer.help[0].startswith("clipped: ")


@pytest.mark.parametrize("kind", ["tflite", pytest.param("onnx", marks=pytest.mark.slow)])
def test_a_keras_reference_gives_names_and_classes(
    with_spec: Any, int8_tflite: Path, int8_onnx: Path, many: Path, kind: str
) -> None:
    found = drift(with_spec("rescaled"), int8_tflite if kind == "tflite" else int8_onnx, many)
    kinds = {layer.name: layer.kind for layer in found.layers}
    assert kinds["rescaling"] == "Rescaling"
    assert kinds["pool"] == "GlobalAveragePooling2D"
    assert kinds["colours"] == "Dense"
    assert kinds["depthwise"] == "DepthwiseConv2D"  # ONNX calls its output after the next layer
    assert kinds["pointwise"] == "Conv2D"
    if kind == "tflite":
        assert [layer.name for layer in found.layers] == [*ORDER[:-1], "colours"]
        [stem] = [layer for layer in found.layers if layer.name == "stem"]
        assert (stem.kind, set(stem.fused)) == ("Conv2D", {"norm", "relu"})
    assert found.first_bad is None


def test_it_is_part_of_a_validation(
    float_tflite: Path, int8_tflite: Path, many: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = validate(float_tflite, [int8_tflite, float_tflite], many, layers=True)
    assert [candidate.drift.first_bad for candidate in found.candidates if candidate.drift] == [None, None]
    common.print_json(found)
    said = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)  # no Infinity, no NaN
    [stem] = [layer for layer in said["candidates"][0]["drift"]["layers"] if layer["name"] == "stem"]
    assert stem["weights"]["outputs"] == 8
    assert validate(float_tflite, [int8_tflite], many).candidates[0].drift is None


# --- what cannot be compared


def test_a_candidate_of_another_format(float_tflite: Path, float_onnx: Path) -> None:
    with pytest.raises(EdgekitError, match="do not have the same names") as error:
        Layers(float_tflite, [float_onnx])
    assert "Keras model" in error.value.hint


def test_a_keras_candidate(with_spec: Any, float_tflite: Path) -> None:
    with pytest.raises(EdgekitError, match=r"a candidate must be a \.tflite or \.onnx file"):
        Layers(float_tflite, [with_spec("rescaled")])


def test_a_quantized_reference(int8_tflite: Path) -> None:
    with pytest.raises(EdgekitError, match="is quantized itself"):
        Layers(int8_tflite, [int8_tflite])


def test_files_without_a_name_in_common(float_tflite: Path, tmp_path: Path) -> None:
    foreign = models.with_spec(models.tflite(tmp_path / "foreign.tflite"))
    with pytest.raises(ModelFileError, match="has the name of a layer") as error:
        Layers(float_tflite, [foreign])
    assert "made from one another" in error.value.hint
