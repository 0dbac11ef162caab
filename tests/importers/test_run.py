"""`edgekit import` on real files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.core.errors import EdgekitError, ImportRefused, ModelFileError, OutputError, SpecError
from edgekit.core.files import sha256
from edgekit.importers.keras_interpreter import KerasInterpreter, open_classifier
from edgekit.importers.options import SpecOptions
from edgekit.importers.run import ending, import_model, needs_import
from edgekit.runtime import modelfile
from edgekit.runtime.classify import Classifier
from tests import models
from tests.keras_models import COLOURS, SIDE, probes
from tests.session_models import without_spec, write_nchw_onnx

LABELS = ",".join(COLOURS)
FED = {"labels": LABELS, "resize": "bilinear", "crop": "none"}
RAW = SpecOptions(**FED, mean="0", std="1")


@pytest.mark.slow
def test_a_keras_2_file_becomes_keras_3_with_a_spec(
    keras_files: Path, keras_answers: dict[str, NDArray[np.float32]], tmp_path: Path
) -> None:
    made = import_model(keras_files / "scaled.h5", tmp_path / "m.keras", SpecOptions(**FED, mean="127.5", std="127.5"))
    assert (made.spec.size, made.spec.labels, made.spec.output.activation) == ((SIDE, SIDE), COLOURS, "softmax")
    assert made.derived[0] == "its output is softmax"
    assert made.spec == modelfile.read_spec(made.path)
    assert made.spec.provenance.source == "scaled.h5"
    assert made.spec.provenance.source_sha256 == sha256(keras_files / "scaled.h5")
    classifier = open_classifier(made.path)
    assert isinstance(classifier.interpreter, KerasInterpreter)
    try:
        answers = classifier.scores(np.stack([classifier.prepare(image) for image in probes()]))
    finally:
        classifier.interpreter.close()
    assert np.abs(answers - keras_answers["scaled"]).max() < 1e-5


def test_an_architecture_with_its_weights(keras_files: Path, tmp_path: Path) -> None:
    made = import_model(
        keras_files / "architecture.json",
        tmp_path / "m.keras",
        SpecOptions(**FED),
        weights=keras_files / "architecture.weights.h5",
    )
    assert "its input takes pixels as they are" in made.derived
    assert (made.spec.preprocess.mean, made.spec.preprocess.std) == ((0,) * 3, (1,) * 3)


@pytest.mark.slow
def test_an_input_of_open_size(
    keras_files: Path, keras_answers: dict[str, NDArray[np.float32]], tmp_path: Path
) -> None:
    with pytest.raises(ImportRefused, match=r"open\.keras does not say the size of its input \(--input-size\)"):
        import_model(keras_files / "open.keras", tmp_path / "m.keras", SpecOptions(**FED))
    made = import_model(keras_files / "open.keras", tmp_path / "m.keras", SpecOptions(**FED, input_size="12"))
    from edgekit.convert.run import convert

    classifier = Classifier(convert(made.path, tmp_path / "m.tflite").path)
    answers = classifier.scores(np.stack([classifier.prepare(image) for image in probes()]))
    assert np.abs(answers - keras_answers["open"]).max() < 1e-5


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_other_files_stay_what_they_are(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    source = without_spec(request.getfixturevalue(f"float_{kind}"), tmp_path / f"theirs.{kind}")
    before = sha256(source)
    assert needs_import(source)
    made = import_model(source, tmp_path / f"ours.{kind}", RAW)
    assert not needs_import(made.path)
    assert modelfile.digest(made.path) == modelfile.digest(source)
    assert sha256(source) == before
    assert made.derived[0] == "its output is softmax"
    assert [golden.pattern for golden in made.spec.golden] == ["gradient", "checker", "noise"]
    ours = Classifier(made.path)
    assert [COLOURS[index] for index in ours.scores(np.stack([ours.prepare(one) for one in probes()])).argmax(1)] == [
        COLOURS[index % 3] for index in range(len(probes()))
    ]


def test_channels_first(tmp_path: Path) -> None:
    source = write_nchw_onnx(tmp_path / "torch.onnx")
    options = SpecOptions(**FED, mean="123.675,116.28,103.53", std="58.395,57.12,57.375")
    made = import_model(source, tmp_path / "m.onnx", options)
    assert (made.spec.input.layout, made.spec.output.activation) == ("NCHW", "logits")
    assert Classifier(made.path).classify(probes()[1]).predictions[0].label == "green"


def test_in_place(tmp_path: Path) -> None:
    source = models.tflite(tmp_path / "m.tflite")
    import_model(source, source, RAW)
    assert Classifier(source).classify(models.colour(10, 200, 10)).predictions[0].label == "green"


def test_a_spec_can_be_changed_in_part(tmp_path: Path) -> None:
    source = models.with_spec(models.tflite(tmp_path / "m.tflite"))
    made = import_model(source, tmp_path / "renamed.tflite", SpecOptions(labels="rot,grün,blau"))
    assert Classifier(made.path).classify(models.colour(10, 10, 200)).predictions[0].label == "blau"
    assert made.spec.preprocess == models.spec().preprocess


@pytest.mark.parametrize(
    ("name", "output", "error", "message"),
    [
        ("scaled.h5", "m.h5", ImportRefused, r"scaled\.h5 is imported as a \.keras file, not m\.h5"),
        ("saved_model", "m.tflite", ImportRefused, r"saved_model is imported as a \.keras file"),
        ("answers.npz", "m.keras", ImportRefused, r"answers\.npz is no model file"),
        ("nothing.h5", "m.keras", ModelFileError, r"nothing\.h5 does not exist"),
        ("rescaled.keras", "nowhere/m.keras", OutputError, "nowhere does not exist"),
        ("architecture.json", "m.keras", ImportRefused, "is an architecture without weights"),
        ("architecture.weights.h5", "m.keras", ImportRefused, "holds weights only"),
    ],
)
def test_what_is_refused(
    keras_files: Path, tmp_path: Path, name: str, output: str, error: type[EdgekitError], message: str
) -> None:
    with pytest.raises(error, match=message):
        import_model(keras_files / name, tmp_path / output, RAW)
    assert list(tmp_path.iterdir()) == []


def test_weights_belong_to_an_architecture(keras_files: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="--weights belongs to an architecture in JSON"):
        import_model(
            keras_files / "scaled.h5", tmp_path / "m.keras", RAW, weights=keras_files / "architecture.weights.h5"
        )


def test_a_model_that_fails_when_run(tmp_path: Path) -> None:
    source = models.fails_when_run(tmp_path / "bad.tflite")
    with pytest.raises(ModelFileError, match=r"bad\.tflite fails when run"):
        import_model(source, tmp_path / "m.tflite", RAW)
    assert not (tmp_path / "m.tflite").exists()


def test_an_older_output_stays(tmp_path: Path) -> None:
    source, target = models.tflite(tmp_path / "theirs.tflite"), tmp_path / "m.tflite"
    target.write_text("before")
    with pytest.raises(ImportRefused, match="there are 2 labels"):
        import_model(source, target, SpecOptions("a,b", None, "bilinear", "none", None, "0", "1"))
    assert target.read_text() == "before"


def test_onnx_weights_in_another_file(tmp_path: Path) -> None:
    import onnx

    whole = onnx.load(str(write_nchw_onnx(tmp_path / "whole.onnx")))
    onnx.save(whole, str(tmp_path / "parts.onnx"), save_as_external_data=True, location="parts.bin", size_threshold=0)
    with pytest.raises(ImportRefused, match=r"parts\.onnx keeps its weights in another file"):
        import_model(tmp_path / "parts.onnx", tmp_path / "m.onnx", RAW)


def test_a_batch_that_is_not_one_image(tmp_path: Path) -> None:
    for source in (models.tflite(tmp_path / "four.tflite", batch=4), models.onnx(tmp_path / "four.onnx", batch=4)):
        with pytest.raises((ModelFileError, SpecError)) as raised:
            import_model(source, tmp_path / f"m{source.suffix}", RAW)
        assert source.name in raised.value.message


def test_what_needs_an_import(keras_files: Path, tmp_path: Path) -> None:
    assert needs_import(keras_files / "scaled.h5")
    assert needs_import(keras_files / "saved_model")
    assert needs_import(keras_files / "rescaled.keras")
    assert not needs_import(models.with_spec(models.tflite(tmp_path / "m.tflite")))
    kinds: dict[Any, str] = {"scaled.h5": ".keras", "saved_model": ".keras", "architecture.json": ".keras"}
    assert {name: ending(keras_files / name) for name in kinds} == kinds
    assert ending(tmp_path / "m.tflite") == ".tflite"
    assert ending(Path(shutil.copy(tmp_path / "m.tflite", tmp_path / "other name"))) == ".tflite"
    assert ending(keras_files / "answers.npz") == ""
