"""`edgekit convert` on real models: what it writes answers like its source, or nothing is written."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.convert import onnx_graph, tflite_graph
from edgekit.convert.run import SCHEMES, convert
from edgekit.core import embed
from edgekit.core.anatomy import anatomy
from edgekit.core.errors import ConversionError, DataError, EdgekitError, ImportRefused, OutputError, SpecError
from edgekit.runtime import modelfile
from edgekit.runtime.classify import Classifier
from edgekit.runtime.spec import InputSpec, ModelSpec, OutputSpec, PixelStatistics, Provenance, Quantization
from tests import models
from tests.keras_models import BGR_MEAN, BGR_STD, COLOURS, SIDE, images, probes
from tests.session_models import nchw_logits, spec, without_spec, write_nchw_onnx

UNSEEN = images(30, 77)[0]
INTEGER = {"int8", "int16x8"}
# The largest difference of a probability that each scheme may make here; float is exact but for rounding.
TOLERANCES = {
    "none": 1e-5,
    "float16": 0.002,
    "dynamic": 0.03,
    "weight8": 0.03,
    "weight4": 0.15,
    "dynamic4": 0.15,
    "int8": 0.05,
    "int16x8": 0.02,
}


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)


def scores(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a file answers to RGB images, fed by its own spec, float32 [N, labels]."""
    classifier = Classifier(path)
    return classifier.scores(np.stack([classifier.prepare(image) for image in pixels]))


def spec_of(path: Path) -> ModelSpec:
    found = modelfile.read_spec(path)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "unlabelled.npz"
    np.savez(path, x=images(40, 3)[0])
    return path


# --- from Keras


def test_keras_to_tflite(float_tflite: Path, keras_answers: dict[str, NDArray[np.float32]]) -> None:
    assert np.abs(scores(float_tflite, probes()) - keras_answers["rescaled"]).max() < 1e-5
    made = spec_of(float_tflite)
    assert (made.input, made.output.name, made.scheme) == (spec().input, "scores", "none")
    assert made.provenance.steps == ("convert --quantize none --io float32",)
    assert made.provenance.tools.keys() >= {"keras", "litert-quantizer"}


def test_keras_to_onnx(float_onnx: Path, keras_answers: dict[str, NDArray[np.float32]]) -> None:
    assert np.abs(scores(float_onnx, probes()) - keras_answers["rescaled"]).max() < 1e-5
    assert Classifier(float_onnx).interpreter.batched
    assert spec_of(float_onnx).provenance.tools.keys() >= {"keras", "tf2onnx", "onnx"}


@pytest.mark.parametrize("target", ["tflite", pytest.param("onnx", marks=pytest.mark.slow)])
def test_normalisation_goes_into_the_graph(
    with_spec: Callable[[str], Path], keras_answers: dict[str, NDArray[np.float32]], tmp_path: Path, target: str
) -> None:
    """BGR, a mean and a deviation for each channel, and logits: a file that takes RGB bytes all the same."""
    path = convert(with_spec("bgr"), tmp_path / f"bgr.{target}").path
    made = spec_of(path)
    assert made.input.dtype == "uint8"
    assert made.input.quantization == Quantization(1.0, 0)
    assert (made.preprocess.mean, made.preprocess.std, made.preprocess.channel_order) == ((0,) * 3, (1,) * 3, "BGR")
    assert made.output.activation == "logits"
    assert np.abs(scores(path, probes()) - softmax(keras_answers["bgr"])).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_one_sigmoid_with_two_labels(
    with_spec: Callable[[str], Path],
    keras_answers: dict[str, NDArray[np.float32]],
    unlabelled: Path,
    tmp_path: Path,
    target: str,
) -> None:
    source = convert(with_spec("gray"), tmp_path / f"gray.{target}", io="float32").path
    gray = np.repeat(probes().mean(-1, keepdims=True).round().astype(np.uint8), 3, axis=-1)
    bright = keras_answers["gray"]
    assert np.abs(scores(source, gray) - np.concatenate([1 - bright, bright], 1)).max() < 1e-5
    small = convert(source, tmp_path / f"small.{target}", quantize="int8", calibrate=unlabelled).path
    assert spec_of(small).labels == ("dark", "bright")
    assert np.abs(scores(small, gray) - scores(source, gray)).max() < 0.05


# --- every scheme, every type of input and output


@pytest.mark.parametrize(
    ("target", "scheme", "io"),
    [
        (target, scheme, io)
        for target, schemes in SCHEMES.items()
        for scheme in schemes
        for io in ("uint8", "float32", "int8")
        if (target, scheme) != ("onnx", "dynamic") and (io != "int8" or (target, scheme) == ("tflite", "int8"))
    ],
)
def test_every_scheme(
    request: pytest.FixtureRequest, many: Path, tmp_path: Path, target: str, scheme: str, io: str
) -> None:
    source: Path = request.getfixturevalue(f"float_{target}")
    calibrate = many if scheme in INTEGER else None
    result = convert(source, tmp_path / f"made.{target}", quantize=scheme, calibrate=calibrate, samples=60, io=io)

    difference = np.abs(scores(result.path, UNSEEN) - scores(source, UNSEEN)).max()
    assert difference < TOLERANCES[scheme]
    assert scheme == "none" or difference > 0
    made, model = spec_of(result.path), Classifier(result.path).interpreter
    assert (made.scheme, made.input.dtype, model.input.dtype) == (scheme, io, io)
    assert (model.input.name, model.output.name) == ("image", "scores")
    assert made.output.dtype == model.output.dtype == ("int8" if io == "int8" else "float32")
    assert made.input.quantization == {"uint8": Quantization(1.0, 0), "int8": Quantization(1.0, -128)}.get(io)
    assert made.labels == COLOURS
    assert made.verdict is None
    assert made.provenance.steps[-1] == f"convert --quantize {scheme} --io {io}"
    assert bool(made.provenance.calibration_sha256) == (scheme in INTEGER)
    assert (result.scheme, result.size) == (scheme, result.path.stat().st_size)
    assert result.agreement == (1.0 if scheme in INTEGER else None)
    assert bool(result.warnings) == (scheme in ("weight4", "dynamic4"))  # not all devices run them


def test_golden_answers_are_the_files_own(int8_tflite: Path, float_tflite: Path) -> None:
    found = spec_of(int8_tflite).golden
    assert [golden.pattern for golden in found[:3]] == ["gradient", "checker", "noise"]
    assert len(found) == 7
    assert [golden.pattern for golden in spec_of(float_tflite).golden] == ["gradient", "checker", "noise"]
    classifier = Classifier(int8_tflite)
    for golden in found[3:]:
        answer = classifier.classify(golden.image_bytes(), top=3)
        expected = dict(zip(COLOURS, golden.score_array(), strict=True))
        assert {item.label: np.float32(item.score) for item in answer.predictions} == expected
        assert answer.predictions[0].score - answer.predictions[1].score >= 0.2
    assert {int(golden.score_array().argmax()) for golden in found[3:6]} == {0, 1, 2}


def test_the_same_command_writes_the_same_bytes(float_tflite: Path, many: Path, tmp_path: Path) -> None:
    first, second = (
        convert(float_tflite, tmp_path / f"{number}.tflite", quantize="int8", calibrate=many, samples=60).path
        for number in range(2)
    )
    assert first.read_bytes() == second.read_bytes()


def test_what_a_byte_input_hides_can_be_quantized_again(float_tflite: Path, many: Path, tmp_path: Path) -> None:
    with_bytes = convert(float_tflite, tmp_path / "bytes.tflite").path
    direct = convert(float_tflite, tmp_path / "direct.tflite", quantize="int8", calibrate=many, samples=60).path
    detour = convert(with_bytes, tmp_path / "detour.tflite", quantize="int8", calibrate=many, samples=60).path
    assert np.array_equal(scores(direct, UNSEEN), scores(detour, UNSEEN))


def test_the_output_may_be_left_out(float_tflite: Path, float_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"the source itself"):
        convert(float_tflite)
    shutil.copy(float_onnx, tmp_path / "model.v2.onnx")
    with pytest.raises(ImportRefused, match=r"A \.onnx file cannot become a \.tflite file"):
        convert(tmp_path / "model.v2.onnx")


# --- other people's files


def test_an_onnx_file_as_pytorch_writes_it(unlabelled: Path, tmp_path: Path) -> None:
    source = write_nchw_onnx(tmp_path / "torch.onnx")
    said = dataclasses.replace(
        spec(),
        input=InputSpec("pixel_values", SIDE, SIDE, 3, "float32", layout="NCHW"),
        preprocess=dataclasses.replace(spec().preprocess, mean=BGR_MEAN, std=BGR_STD),
        output=OutputSpec("logits", "logits"),
    )
    embed.write_spec(source, said, source)
    values = (UNSEEN.astype(np.float32) - BGR_MEAN) / BGR_STD
    expected = softmax(nchw_logits(values.transpose(0, 3, 1, 2).astype(np.float32)))
    assert np.abs(scores(source, UNSEEN) - expected).max() < 1e-4

    plain = convert(source, tmp_path / "plain.onnx").path
    assert np.abs(scores(plain, UNSEEN) - expected).max() < 1e-4
    assert (spec_of(plain).input.layout, spec_of(plain).input.dtype) == ("NCHW", "uint8")
    small = convert(source, tmp_path / "small.onnx", quantize="int8", calibrate=unlabelled)
    assert small.agreement is not None
    assert small.agreement > 0.9
    assert np.abs(scores(small.path, UNSEEN) - expected).max() < 0.15


def test_a_tflite_file_of_somebody_else(unlabelled: Path, tmp_path: Path) -> None:
    source = models.with_spec(models.tflite(tmp_path / "theirs.tflite", batch=1))
    pixels = images(20, 5, models.SIDE, models.SIDE)[0]
    expected = np.stack([models.expected(image) for image in pixels])
    for scheme in ("none", "dynamic", "int8"):
        path = convert(
            source, tmp_path / f"{scheme}.tflite", quantize=scheme, calibrate=unlabelled if scheme == "int8" else None
        ).path
        assert np.abs(scores(path, pixels) - expected).max() < (1e-5 if scheme == "none" else 0.2), scheme
        assert (scores(path, pixels).argmax(1) == expected.argmax(1)).mean() > 0.9


# --- nothing is written


def test_an_operator_that_the_format_does_not_have(with_spec: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ConversionError) as raised:
        convert(with_spec("unsupported"), tmp_path / "made.tflite")
    assert raised.value.message == "The layer 'erfinv' needs the operator Erfinv, which TFLite does not have."
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written_is_told_before_the_work(
    with_spec: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="nowhere does not exist"):
        convert(with_spec("unsupported"), tmp_path / "nowhere" / "made.tflite")


def test_keras_weights_of_nan(with_spec: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"nan\.keras itself answers with NaN"):
        convert(with_spec("nan"), tmp_path / "made.tflite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
@pytest.mark.parametrize(
    ("weight", "message"),
    [(float("nan"), "itself answers with NaN"), (0.0, "itself answers the same whatever it sees")],
)
def test_dead_models(tmp_path: Path, kind: str, weight: float, message: str) -> None:
    weights = np.full((3, 3), weight, np.float32)
    source = models.with_spec(getattr(models, kind)(tmp_path / f"dead.{kind}", weights=weights))
    target = tmp_path / f"made.{kind}"
    target.write_text("what was there before")
    with pytest.raises(ConversionError, match=rf"dead\.{kind} {message}"):
        convert(source, target)
    assert target.read_text() == "what was there before"
    assert {path.name for path in tmp_path.iterdir()} == {source.name, target.name}


@pytest.mark.slow
def test_a_network_that_8_bits_cannot_hold(with_spec: Callable[[str], Path], many: Path, tmp_path: Path) -> None:
    source = convert(with_spec("hard"), tmp_path / "hard.tflite").path
    with pytest.raises(ConversionError, match="it has collapsed") as raised:
        convert(source, tmp_path / "int8.tflite", quantize="int8", calibrate=many, samples=60)
    assert "int16x8" in raised.value.hint
    assert not (tmp_path / "int8.tflite").exists()
    rescued = convert(source, tmp_path / "int16x8.tflite", quantize="int16x8", calibrate=many, samples=60)
    assert rescued.agreement == 1.0


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("made.tfl", {}, r"Cannot tell from made\.tfl what to write"),
        ("made", {}, "Cannot tell from made what to write"),
        ("made.onnx", {"quantize": "int16x8"}, r"--quantize int16x8 does not exist for \.onnx"),
        ("made.tflite", {"quantize": "int4"}, "--quantize int4 does not exist"),
        ("made.tflite", {"quantize": "int8"}, "--quantize int8 needs images"),
        ("made.tflite", {"io": "int8"}, "--io int8 needs --quantize int8"),
        ("made.onnx", {"io": "int8"}, "--io int8 needs --quantize int8"),
        ("source.tflite", {}, "is the source itself"),
        ("nowhere/made.tflite", {}, "nowhere does not exist"),
        ("folder.tflite", {}, "is a folder"),
    ],
)
def test_wrong_arguments(
    float_tflite: Path, tmp_path: Path, name: str, arguments: dict[str, Any], message: str
) -> None:
    source = tmp_path / "source.tflite"
    shutil.copy(float_tflite, source)
    (tmp_path / "folder.tflite").mkdir()
    with pytest.raises(EdgekitError, match=message):
        convert(source, tmp_path / name, **arguments)


def test_sources_that_cannot_be_converted(
    keras_files: Path, float_tflite: Path, float_onnx: Path, int8_tflite: Path, tmp_path: Path
) -> None:
    def refuses(source: Path, error: type[EdgekitError], message: str, target: str = "made.tflite") -> None:
        with pytest.raises(error, match=message):
            convert(source, tmp_path / target)

    refuses(tmp_path / "nothing.keras", EdgekitError, r"nothing\.keras does not exist")
    refuses(keras_files / "scaled.h5", ImportRefused, "carries no spec")
    refuses(keras_files / "saved_model", ImportRefused, "carries no spec")
    refuses(without_spec(float_tflite, tmp_path / "theirs.tflite"), SpecError, "carries no edgekit spec")
    refuses(keras_files / "rescaled.keras", SpecError, "carries no edgekit spec")
    refuses(keras_files / "answers.npz", ImportRefused, "no model file that edgekit knows")
    refuses(int8_tflite, ImportRefused, r"is quantized already \(int8\)")
    refuses(float_tflite, ImportRefused, r"A \.tflite file cannot become a \.onnx file", "made.onnx")
    refuses(float_onnx, ImportRefused, r"A \.onnx file cannot become a \.tflite file")
    hidden = tmp_path / "hidden.tflite"
    embed.write_spec(int8_tflite, dataclasses.replace(spec_of(int8_tflite), scheme="unknown"), hidden)
    refuses(hidden, ImportRefused, r"hidden\.tflite is quantized already, and quantization cannot be undone")
    assert not (tmp_path / "made.tflite").exists()


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_half_precision_is_no_source(request: pytest.FixtureRequest, many: Path, tmp_path: Path, kind: str) -> None:
    source: Path = request.getfixturevalue(f"float_{kind}")
    half = convert(source, tmp_path / f"half.{kind}", quantize="float16", io="float32").path
    embed.write_spec(half, dataclasses.replace(spec_of(half), scheme="none"), half)  # as an import has it
    quantized: dict[str, Any] = {"quantize": "int8", "calibrate": many}
    for arguments in ({}, quantized):
        with pytest.raises(ImportRefused, match=rf"half\.{kind} is quantized already"):
            convert(half, tmp_path / f"made.{kind}", **arguments)


# --- calibration data


def arrays(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    np.savez(folder / "data.npz", x=pixels)
    return folder / "data.npz"


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.repeat(images(1)[0], 20, axis=0), "it holds one image only, or the same one over and over"),
        (np.full((20, 9, 9), 128, np.uint8), "every image is a single colour"),
        (np.arange(20, dtype=np.uint8).repeat(81).reshape(20, 9, 9), "every image is a single colour"),
        ((images(20)[0] > 99).astype(np.uint8), "its pixels span 0 to 1, and the model takes pixels from 0 to 255"),
        (images(20)[0] // 20 + 100, r"its pixels span 100 to \d+, and the model takes"),
    ],
    ids=["one-image", "gray", "grays", "scaled", "flat"],
)
def test_calibration_data_that_cannot_be_right(
    float_tflite: Path, tmp_path: Path, pixels: NDArray[np.uint8], reason: str
) -> None:
    with pytest.raises(DataError, match=rf"data\.npz cannot calibrate a model: {reason}"):
        convert(float_tflite, tmp_path / "made.tflite", quantize="int8", calibrate=arrays(tmp_path, pixels))
    assert not (tmp_path / "made.tflite").exists()


def test_calibration_data_unlike_the_training_data(float_tflite: Path, tmp_path: Path) -> None:
    source = tmp_path / "trained.tflite"
    said = dataclasses.replace(
        spec_of(float_tflite), provenance=Provenance(trained_on=PixelStatistics(0, 250, 100, 60))
    )
    embed.write_spec(float_tflite, said, source)
    narrow = arrays(tmp_path, images(20)[0] // 5)
    with pytest.raises(DataError, match=r"its pixels span 0 to 4\d, and the model was trained on 0 to 250"):
        convert(source, tmp_path / "made.tflite", quantize="int8", calibrate=narrow)


def test_calibration_images_that_cannot_be_read(float_tflite: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos" / "red" / "cut.png").write_bytes((photos / "red" / "000.png").read_bytes()[:200])
    arguments: dict[str, Any] = {"quantize": "int8", "calibrate": tmp_path / "photos"}
    with pytest.raises(DataError, match=r"1 image cannot be read: red/cut\.png"):
        convert(float_tflite, tmp_path / "made.tflite", **arguments)
    assert convert(float_tflite, tmp_path / "made.tflite", max_bad=1, **arguments).agreement == 1.0


def test_warnings_about_what_may_be_wrong(float_tflite: Path, photos: Path, many: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.tflite"
    embed.write_spec(float_tflite, dataclasses.replace(spec_of(float_tflite), labels=("green", "blue", "red")), source)
    [wrong_order] = convert(source, tmp_path / "made.tflite", calibrate=many).warnings
    assert wrong_order.startswith("The float model itself gets only 0.0% of the calibration images right.")
    embed.write_spec(float_tflite, dataclasses.replace(spec_of(float_tflite), labels=("a", "b", "c")), source)
    [other_classes] = convert(source, tmp_path / "made.tflite", calibrate=photos).warnings
    assert "has the class 'blue', which the model does not know" in other_classes
    assert convert(float_tflite, tmp_path / "made.tflite", calibrate=photos).warnings == ()


@pytest.mark.parametrize("write", [models.tflite, models.onnx])
def test_a_file_of_the_same_format_is_compared_with_its_source(
    write: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = models.with_spec(write(tmp_path / f"m.{write.__name__}"), models.spec(
        preprocess=dataclasses.replace(models.spec().preprocess, mean=(10.0,) * 3, std=(2.0,) * 3)))
    for graph in (tflite_graph.TFLiteGraph, onnx_graph.OnnxGraph):
        right = graph.prepend_normalisation

        def wrong(self: Any, mean: Any, std: Any, layout: str, right: Any = right) -> None:
            right(self, mean, [3 * value for value in std], layout)

        monkeypatch.setattr(graph, "prepend_normalisation", wrong)
    with pytest.raises(ConversionError, match="answers differently"):
        convert(source, tmp_path / f"out{source.suffix}")
    assert not (tmp_path / f"out{source.suffix}").exists()


def test_operator_codes_of_old_files(many: Path, tmp_path: Path) -> None:
    """Before version 3a of the schema there was the deprecated field only."""

    def age(file: models.TFLiteFile) -> None:
        for code in file.model.operatorCodes:
            code.builtinCode = 0

    source = models.with_spec(models.tflite(tmp_path / "old.tflite", damage=age))
    made = convert(source, tmp_path / "int8.tflite", quantize="int8", calibrate=many)
    assert made.agreement == 1
    assert any(kind.dtype == "int8" for kind in anatomy(made.path).weight_kinds)


def test_onnx_of_an_old_opset_is_quantized(many: Path, tmp_path: Path) -> None:
    def age(model: Any) -> None:
        model.opset_import[0].version = 11
        axes = model.graph.node[1].attribute.add(name="axes", type=7)
        axes.ints.extend([1, 2])
        del model.graph.node[1].input[1]

    source = models.with_spec(models.onnx(tmp_path / "old.onnx", damage=age))
    assert convert(source, tmp_path / "int8.onnx", quantize="int8", calibrate=many).agreement == 1


def test_calibration_images_that_were_skipped_are_named(float_tflite: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    broken = next((tmp_path / "photos").rglob("*.png"))
    broken.write_bytes(broken.read_bytes()[:60])
    made = convert(float_tflite, tmp_path / "m.tflite", quantize="int8", calibrate=tmp_path / "photos", max_bad=1)
    assert [name for name, _ in made.skipped] == [str(broken.relative_to(tmp_path / "photos"))]
