from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.core import tflite_runtimes
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


def test_a_scheme_that_answers_wrongly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite_runtimes, "wrong_schemes", lambda runtime: {"int16x8": f"{runtime} forgets half"})
    path = models.tflite(tmp_path / "m.tflite")
    assert fit.check_runs(checked(path, "int8"), FACTS) == []
    with pytest.raises(PackageError) as caught:
        fit.check_runs(checked(path, "int16x8"), FACTS)
    assert caught.value.message == (
        "The app's runtime, TensorFlow Lite 2.16.1, answers wrongly for files of the scheme int16x8: "
        "2.16.1 forgets half."
    )
    assert caught.value.hint.startswith("Convert the model with another one: edgekit convert SOURCE --quantize ")


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
