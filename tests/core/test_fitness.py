from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core import fitness
from tests import models
from tests.models import Damage, TFLiteFile

ANDROID, PI = "the Android app's TensorFlow Lite 2.16.1", "tflite-runtime 2.14.0 on a 32-bit Raspberry Pi"


def version(number: int) -> Damage:
    """Another version of the network's dense layer."""

    def change(file: TFLiteFile) -> None:
        file.model.operatorCodes[1].version = number

    return change


@pytest.mark.parametrize(("number", "android", "pi"), [
    (10, "", ""),
    (11, "", f"{PI} cannot run FULLY_CONNECTED in version 11: it knows it up to version 10"),
    (12, f"{ANDROID} cannot run FULLY_CONNECTED in version 12: it knows it up to version 11",
     f"{PI} cannot run FULLY_CONNECTED in version 12: it knows it up to version 10"),
])
def test_operators_that_are_too_new(tmp_path: Path, number: int, android: str, pi: str) -> None:
    path = models.tflite(tmp_path / "m.tflite", damage=version(number))
    assert {target: fitness.runs_on(path, target) for target in fitness.TARGETS} == {
        "android": android, "raspberry-pi": pi
    }


def test_answers_that_would_be_wrong(tmp_path: Path) -> None:
    path = models.tflite(tmp_path / "m.tflite", damage=models.dense_in_8_bits(per_channel=True))
    what = "a dense layer whose weights alone are quantized, with a scale for each output"
    assert fitness.runs_on(path, "android") == f"{ANDROID} answers wrongly, on arm64, for {what}"
    assert fitness.runs_on(path, "raspberry-pi") == f"{PI} answers wrongly for {what}"


def test_advice(tmp_path: Path) -> None:
    plain = models.tflite(tmp_path / "plain.tflite")
    assert fitness.advice(plain, "none") == ""
    assert fitness.advice(models.onnx(tmp_path / "m.onnx"), "dynamic") == ""
    old = models.tflite(tmp_path / "old.tflite", damage=models.dense_in_8_bits(per_channel=True))
    assert fitness.advice(old, "dynamic") == (
        f"T{ANDROID[1:]}, like {PI}, answers wrongly, on arm64, for a dense layer whose weights alone are quantized, "
        "with a scale for each output; --quantize dynamic avoids it."
    )
    newer = models.tflite(tmp_path / "newer.tflite", damage=version(11))
    reason = f"{PI} cannot run FULLY_CONNECTED in version 11: it knows it up to version 10"
    reason = reason[0].upper() + reason[1:]
    assert fitness.advice(newer, "int8") == f"{reason}; --quantize float16 avoids it."
    assert fitness.advice(newer, "none") == f"{reason}; no --quantize avoids it: it is in the network itself."
