from __future__ import annotations

from pathlib import Path

import pytest

from tests import models
from tests.cli.conftest import Run


def test_what_people_read(run: Run, tmp_path: Path) -> None:
    path = models.tflite(tmp_path / "m.tflite", damage=models.dense_in_8_bits(per_channel=True))
    ran = run("inspect", "--delegates", path)
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == f"{path}: 3 operators, runs on TensorFlow Lite 2.14.0 and newer"
    assert lines[1].startswith("  but the Android app's TensorFlow Lite 2.16.1 answers wrongly, on arm64, for a dense")
    assert any(line.split() == ["MEAN", "float32", "1", "yes", "yes", "yes", "yes"] for line in lines)
    dense = next(line for line in lines if "FULLY_CONNECTED" in line)
    assert dense.split()[-5:] == ["1", "yes", "no", "yes", "yes"]
    left = "XNNPACK 2.16.1: FULLY_CONNECTED (float32, weights int8 per channel): takes weights of float32, not int8"
    assert left in lines
    assert "delegates.json" in lines[-1]


def test_json(run: Run, tmp_path: Path) -> None:
    path = models.tflite(tmp_path / "m.tflite")
    document = run("inspect", "--delegates", path, "--json").json
    assert (document["runtime"], document["problems"]) == ("2.14.0", {})
    assert [one["name"] for one in document["operators"]] == ["MEAN", "FULLY_CONNECTED", "SOFTMAX"]
    assert document["operators"][1]["delegates"]["gpu"]["taken"]
    assert document["operators"][1]["delegates"]["gpu"]["source"].startswith("google-ai-edge/LiteRT: ")
    assert document["delegates"]["xnnpack"]["operators"] == 3
    assert document["delegates"]["xnnpack"]["macs"] == 1


def test_a_file_that_is_too_new(run: Run, tmp_path: Path) -> None:
    def newer(file: models.TFLiteFile) -> None:
        file.model.operatorCodes[1].version = 12

    ran = run("inspect", "--delegates", models.tflite(tmp_path / "m.tflite", damage=newer))
    assert "m.tflite: 3 operators, needs TensorFlow Lite newer than 2.16.1" in ran.out

    def custom(file: models.TFLiteFile) -> None:
        code = file.model.operatorCodes[1]
        code.builtinCode, code.deprecatedBuiltinCode, code.customCode = 32, 32, "Flex\x1bOp"

    ran = run("inspect", "--delegates", models.tflite(tmp_path / "m.tflite", damage=custom))
    assert ran.code == 0
    assert "runs on none: it has the custom operator 'Flex�Op'" in ran.out
    assert "\x1b" not in ran.out


@pytest.mark.parametrize(("kind", "what"), [("onnx", "is an ONNX file"), ("text", "is no .tflite file")])
def test_other_files(run: Run, tmp_path: Path, kind: str, what: str) -> None:
    path = models.onnx(tmp_path / "m.onnx") if kind == "onnx" else tmp_path / "m.txt"
    if kind == "text":
        path.write_text("no model")
    hint = {"onnx": "Convert its Keras source first", "text": "Name the .tflite file"}[kind]
    ran = run("inspect", "--delegates", path)
    assert (ran.code, ran.out) == (2, "")
    assert f"{what}; delegates run .tflite files only.\n{hint}" in ran.err
