from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from edgekit.convert.run import convert
from edgekit.core.errors import PackageError
from edgekit.package.checks import CheckedModel, check_model
from edgekit.package.pi.systems import Systems, choose
from tests import models

ROOT = Path(__file__).resolve().parents[3]


def checked(path: Path) -> CheckedModel:
    return check_model(path, ungated=True, onnx=True)


def newer(file: models.TFLiteFile) -> None:
    for code in file.model.operatorCodes:
        if code.builtinCode == 9:  # FULLY_CONNECTED
            code.version = 12


def small(tmp_path: Path, damage: models.Damage | None = None) -> CheckedModel:
    return checked(models.with_spec(models.tflite(tmp_path / "m.tflite", damage=damage)))


def installed(systems: Systems, python: str, machine: str) -> dict[str, str]:
    """What pip takes there: version by package."""
    environment = {"python_version": python, "platform_machine": machine}
    wanted = [Requirement(line) for line in systems.requirements().splitlines() if not line.startswith("#")]
    return {each.name: str(each.specifier) for each in wanted
            if each.marker is None or each.marker.evaluate(environment)}


def test_litert(tmp_path: Path) -> None:
    systems = choose(small(tmp_path), None)
    bookworm, trixie = (installed(systems, python, "aarch64") for python in ("3.11", "3.13"))
    assert bookworm["ai-edge-litert"] == trixie["ai-edge-litert"] == "==2.3.0"
    # Debian's own numpy, which picamera2 and OpenCV are built for, and an ml-dtypes that takes it.
    assert (bookworm["numpy"], bookworm["ml-dtypes"]) == ("==1.24.2", "==0.5.4")
    assert trixie["numpy"] == "==2.2.4"
    assert installed(systems, "3.12", "aarch64")["numpy"] == "==1.26.4"  # Ubuntu's
    narrow = installed(systems, "3.11", "armv7l")
    assert narrow["tflite-runtime"] == "==2.14.0"
    assert {"ai-edge-litert", "ml-dtypes", "protobuf"}.isdisjoint(narrow)
    assert installed(systems, "3.11", "armv8l") == narrow  # a 32-bit Python on a 64-bit kernel
    assert any("Python 3.13 has no wheel" in sentence for sentence in systems.sentences())


def test_tflite_runtime(tmp_path: Path) -> None:
    systems = choose(small(tmp_path), "tflite-runtime")
    for machine in ("aarch64", "armv7l"):
        found = installed(systems, "3.11", machine)
        assert (found["tflite-runtime"], found["numpy"]) == ("==2.14.0", "==1.24.2")
        assert "ai-edge-litert" not in found
    assert (systems.wide, systems.narrow) == (("3.11",), ("3.11",))


def test_onnx(tmp_path: Path) -> None:
    model = checked(models.with_spec(models.onnx(tmp_path / "m.onnx")))
    systems = choose(model, None)
    assert installed(systems, "3.13", "aarch64")["onnxruntime"] == "==1.31.1"
    assert systems.narrow == ()
    assert "32-bit: not supported. ONNX Runtime has no wheels for it" in systems.sentences()[1]
    with pytest.raises(PackageError, match="is an ONNX file, which ONNX Runtime runs"):
        choose(model, "tflite-runtime")


@pytest.mark.parametrize(("damage", "reason"), [
    (models.dense_in_8_bits(per_channel=True), "it has a dense layer whose weights alone are quantized, with a scale "
                                               "for each output, and that runtime answers wrongly for it"),
    (newer, "it uses FULLY_CONNECTED in version 12, and that runtime knows it up to version"),
])
def test_what_the_old_runtime_cannot(tmp_path: Path, damage: models.Damage, reason: str) -> None:
    model = small(tmp_path, damage)
    with pytest.raises(PackageError, match=r"cannot run on tflite-runtime 2\.14\.0") as caught:
        choose(model, "tflite-runtime")
    assert reason in caught.value.message
    systems = choose(model, None)  # LiteRT runs it, but then 32-bit systems have nothing
    assert (systems.narrow, systems.wide[0]) == ((), "3.11")
    assert reason in systems.why_not_narrow
    assert "tflite-runtime" not in systems.requirements()


@pytest.mark.parametrize(("outputs", "runs"), [(2, False), (3, False), (4, True)])
def test_small_int8_layers_crash_on_the_old_runtime(tmp_path: Path, outputs: int, runs: bool) -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.02, (outputs, 3)).astype(np.float32)
    source = models.tflite(tmp_path / "m.tflite", weights=weights)
    models.with_spec(source, models.spec(labels="abcd"[:outputs]))
    np.savez(tmp_path / "x.npz", x=rng.integers(0, 256, (40, 8, 8, 3), np.uint8))
    path = convert(source, tmp_path / "int8.tflite", quantize="int8", calibrate=tmp_path / "x.npz", samples=40).path
    systems = choose(checked(path), None)
    assert bool(systems.narrow) == runs
    if runs:
        assert choose(checked(path), "tflite-runtime").runtime == "tflite-runtime"
    else:
        with pytest.raises(PackageError, match="a dense layer in int8 with 2 or 3 outputs, and that runtime crashes"):
            choose(checked(path), "tflite-runtime")


def test_the_versions_are_those_that_edgekit_is_tested_with(tmp_path: Path) -> None:
    lock = dict(re.findall(r"^([\w.-]+)==([\w.]+) \\$", (ROOT / "requirements/dev.txt").read_text(), re.MULTILINE))
    (tmp_path / "onnx").mkdir()
    onnx = choose(checked(models.with_spec(models.onnx(tmp_path / "m.onnx"))), None)
    for systems in (choose(small(tmp_path), None), onnx):
        for name, specifier in installed(systems, "3.13", "aarch64").items():
            if name not in ("numpy", "ml-dtypes"):  # chosen by what the distribution has
                assert specifier == f"=={lock[name]}", name
