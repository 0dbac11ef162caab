from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.core.errors import EdgekitError, ModelFileError, OutputError, PackageError, SpecError
from edgekit.package.checks import check_apart, check_model
from edgekit.runtime import modelfile
from tests import models
from tests.packaging import stamped


def refused(path: Path, *, ungated: bool = False) -> EdgekitError:
    with pytest.raises(EdgekitError) as caught:
        check_model(path, ungated=ungated)
    assert caught.value.exit_code == 2
    return caught.value


def test_a_model_that_has_passed(model: Path) -> None:
    found = check_model(model, ungated=False)
    assert (found.path, found.spec, found.verdict) == (model, modelfile.read_spec(model), "pass")
    assert found.digest == modelfile.digest(model)


@pytest.mark.parametrize(
    ("outcome", "digest", "state", "reason"),
    [
        (None, None, "none", "carries no verdict"),
        ("pass", "f" * 64, "stale", "carries a stale verdict: the model has changed since"),
        ("fail", None, "fail", "has failed its validation"),
        ("fail", "f" * 64, "stale", "carries a stale verdict"),
        ("inconclusive", None, "inconclusive", "was validated on too few images"),
    ],
)
def test_verdicts(tmp_path: Path, outcome: str | None, digest: str | None, state: str, reason: str) -> None:
    path = stamped(tmp_path / "m.tflite", outcome, digest)
    error = refused(path)
    assert isinstance(error, PackageError)
    assert reason in error.message
    command = f"edgekit validate REFERENCE {path} --data IMAGES --stamp; --ungated packages it as it is."
    assert error.hint == ("With more images: " if state == "inconclusive" else "") + command
    assert check_model(path, ungated=True).verdict == state


def test_names_in_hints_are_quoted(tmp_path: Path) -> None:
    error = refused(stamped(tmp_path / "my model.tflite", None))
    assert error.hint.startswith(f"edgekit validate REFERENCE '{tmp_path}/my model.tflite' --data")


def test_an_onnx_file(tmp_path: Path) -> None:
    error = refused(models.onnx(tmp_path / "m.onnx"), ungated=True)
    assert "is an ONNX file; the app runs .tflite files only" in error.message
    assert error.hint.startswith("Convert the Keras model that it was made from: edgekit convert ")


def test_a_keras_file(tmp_path: Path) -> None:
    error = refused(models.keras(tmp_path / "m.keras"))
    assert "is a Keras model; the app runs .tflite files only" in error.message
    assert error.hint == f"Convert it first: edgekit convert {tmp_path}/m.keras -o MODEL.tflite"


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"no model at all")
    assert "is no .tflite file" in refused(tmp_path / "m.tflite").message
    assert "is no .tflite file" in refused(tmp_path).message
    assert isinstance(refused(tmp_path / "nothing"), ModelFileError)
    models.tflite(tmp_path / "m.tflite").write_bytes((tmp_path / "m.tflite").read_bytes()[:200])
    assert isinstance(refused(tmp_path / "m.tflite"), EdgekitError)


def test_a_model_without_a_spec(tmp_path: Path) -> None:
    error = refused(models.tflite(tmp_path / "m.tflite"), ungated=True)
    assert isinstance(error, SpecError)
    assert "carries no edgekit spec" in error.message
    assert "edgekit import" in error.hint


def test_labels_that_do_not_match(tmp_path: Path) -> None:
    weights = np.asarray(np.ones((4, 3)), np.float32)
    path = models.with_spec(models.tflite(tmp_path / "m.tflite", weights=weights))
    error = refused(path, ungated=True)
    assert "m.tflite gives 4 scores, but its spec has 3 labels." in error.message


def test_a_file_that_is_needed_is_no_output(model: Path, tmp_path: Path) -> None:
    check_apart(tmp_path / "new.apk", [model, None])
    (tmp_path / "link.apk").symlink_to(model)
    for output in (model, tmp_path / "link.apk"):
        with pytest.raises(OutputError, match="is itself needed"):
            check_apart(output, [None, model])
