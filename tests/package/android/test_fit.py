from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.core.errors import PackageError
from edgekit.package.android import fit
from edgekit.package.android.template import Facts
from edgekit.package.checks import CheckedModel
from edgekit.runtime import modelfile
from tests import models
from tests.models import TFLiteFile

FACTS = Facts("2.16.1", "ai.edgekit.demo", ("arm64-v8a", "armeabi-v7a", "x86_64"),
              {"arm64-v8a": 4096, "armeabi-v7a": 4096, "x86_64": 16384}, "res/a.png")


def checked(path: Path, scheme: str = "none") -> CheckedModel:
    return CheckedModel(path, "tflite", models.spec(scheme=scheme), modelfile.digest(path), "pass")


def newer(code: int, version: int = 1, custom: str = "") -> Callable[[TFLiteFile], None]:
    def change(file: TFLiteFile) -> None:
        found = file.model.operatorCodes[1]
        found.version, found.builtinCode, found.deprecatedBuiltinCode = version, code, min(code, 127)
        found.customCode = custom or None

    return change


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (newer(9, 12), "uses FULLY_CONNECTED in version 12; the app's runtime, TensorFlow Lite 2.16.1, knows it up to "
                       "version 11."),
        (newer(206), "uses STABLEHLO_COMPOSITE; the app's runtime, TensorFlow Lite 2.16.1, does not have it."),
        (newer(250), "uses OPERATOR_250; the app's runtime, TensorFlow Lite 2.16.1, does not have it."),
        (newer(32, custom="FlexErf"), "uses the custom operator 'FlexErf'; the app's runtime, TensorFlow Lite 2.16.1, "
                                      "has only its own."),
    ],
)
def test_operators(tmp_path: Path, change: Callable[[TFLiteFile], None], what: str) -> None:
    with pytest.raises(PackageError) as caught:
        fit.check_runs(checked(models.tflite(tmp_path / "m.tflite", damage=change)), FACTS)
    assert caught.value.message == f"m.tflite {what}"
    assert caught.value.hint == (
        "Convert it again with edgekit convert, or build the app with a newer runtime: "
        "make android RUNTIME=VERSION, or --project."
    )
    [warning] = fit.check_runs(checked(tmp_path / "m.tflite"), FACTS, project=True)
    assert warning == f"m.tflite {what} Take a newer one in gradle/libs.versions.toml."


def test_a_model_that_runs(tmp_path: Path) -> None:
    assert fit.check_runs(checked(models.tflite(tmp_path / "m.tflite", dtype="uint8")), FACTS) == []


@pytest.mark.parametrize("said", ["none", "dynamic", "unknown"])
def test_a_file_that_is_answered_wrongly(tmp_path: Path, said: str) -> None:
    """Whatever its spec says: older files of the scheme dynamic, and those of other converters, are told apart."""
    right = models.tflite(tmp_path / "right.tflite", damage=models.dense_in_8_bits(per_channel=False))
    assert fit.check_runs(checked(right, said), FACTS) == []
    wrong = models.tflite(tmp_path / "wrong.tflite", damage=models.dense_in_8_bits(per_channel=True))
    with pytest.raises(PackageError) as caught:
        fit.check_runs(checked(wrong, said), FACTS)
    assert caught.value.message == (
        "wrong.tflite has a dense layer whose weights alone are quantized, with a scale for each output; the app's "
        "runtime, TensorFlow Lite 2.16.1, answers wrongly, on arm64, for it."
    )
    assert caught.value.hint == "Convert the model again: edgekit convert SOURCE --quantize dynamic, or float16."


def test_a_runtime_that_is_not_known(tmp_path: Path) -> None:
    path = models.tflite(tmp_path / "m.tflite", damage=newer(9, 99))
    [warning] = fit.check_runs(checked(path), replace(FACTS, runtime="2.99.0"))
    assert warning == "Which operators TensorFlow Lite 2.99.0 can run is not known here; the app's self-test will tell."


@pytest.mark.parametrize(
    ("abis", "named"),
    [(("arm64-v8a",), "(arm64-v8a)"), (("arm64-v8a", "x86_64"), "(arm64-v8a)"), (("armeabi-v7a",), ""),
     (("x86_64",), "")],
)
def test_pages_of_16_kb(abis: tuple[str, ...], named: str) -> None:
    warnings = fit.page_warnings(FACTS, abis)
    assert bool(warnings) == bool(named)
    for warning in warnings:
        assert named in warning
        assert "make android RUNTIME=VERSION, or --project" in warning
    for warning in fit.page_warnings(FACTS, abis, project=True):
        assert warning.endswith("For these, take a newer runtime in gradle/libs.versions.toml.")
