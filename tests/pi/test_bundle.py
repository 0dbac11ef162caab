"""Bundles on the wheels that a Raspberry Pi installs, under emulation: does `classify` give this machine's answers?"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.convert.run import convert
from edgekit.runtime.classify import Classifier
from edgekit.validate.device import validate_device_report
from tests import bundles, models
from tests.conftest import Needs
from tests.pi.userland import FetchError, System

pytestmark = [pytest.mark.slow, pytest.mark.emulator]

# The processors of Pi 3 and Zero 2 W, Pi 4, and Pi 5, which has the dot-product instructions; and of a 32-bit Pi 2.
PI_3, PI_4, PI_5, PI_2 = "cortex-a53", "cortex-a72", "cortex-a76", "cortex-a7"
BOOKWORM, TRIXIE = ("bookworm", "arm64"), ("trixie", "arm64")
NARROW = ("bookworm", "armhf")

MakeBundle = Callable[[str, str | None], Path]


@pytest.fixture(scope="module")
def bundle(float_tflite: Path, float_onnx: Path, with_spec: Callable[[str], Path], many: Path,
           tmp_path_factory: pytest.TempPathFactory) -> MakeBundle:
    """Gives the unpacked bundle of a model by its scheme, or of another one; each is made once.

    `onnx` is the same network as ONNX. `gray-int8` is another one, with one output: tflite-runtime 2.14 would crash on
    an int8 dense layer with three, so `package pi` refuses it.
    """
    made: dict[tuple[str, str | None], Path] = {}

    def make(kind: str, runtime: str | None) -> Path:
        if (kind, runtime) not in made:
            folder = tmp_path_factory.mktemp("bundle")
            source, model = (float_onnx, folder / "m.onnx") if kind == "onnx" else (float_tflite, folder / "m.tflite")
            if kind == "gray-int8":
                source = convert(with_spec("gray"), folder / "gray.tflite", io="float32").path
            scheme = {"onnx": "none", "float32": "none", "gray-int8": "int8"}.get(kind, kind)
            convert(source, model, quantize=scheme, calibrate=many, samples=60)
            made[kind, runtime] = bundles.folder(folder, bundles.passed(model), runtime=runtime)
        return made[kind, runtime]

    return make


def emulated(system: System, bundle: Path, *arguments: str | Path, needs: Needs) -> str:
    try:
        done = system.run(bundle, *arguments)
    except FetchError as error:
        needs.leave_out(f"there is no emulated Raspberry Pi: {error}", "apt-get update, and a network")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("where", "cpu", "kind", "runtime", "engine"), [
    (BOOKWORM, PI_3, "float32", None, "LiteRT 2.3.0 with XNNPACK"),
    (BOOKWORM, PI_4, "float16", None, "LiteRT 2.3.0 with XNNPACK"),
    (BOOKWORM, PI_5, "int8", None, "LiteRT 2.3.0 with XNNPACK"),
    (BOOKWORM, PI_5, "dynamic", None, "LiteRT 2.3.0 with XNNPACK"),
    (BOOKWORM, PI_4, "onnx", None, "ONNX Runtime 1.31.1"),
    (BOOKWORM, PI_4, "float32", "tflite-runtime", "TensorFlow Lite (tflite-runtime) 2.14.0 with XNNPACK"),
    (BOOKWORM, PI_4, "gray-int8", "tflite-runtime", "TensorFlow Lite (tflite-runtime) 2.14.0 without XNNPACK"),
    (BOOKWORM, PI_4, "dynamic", "tflite-runtime", "TensorFlow Lite (tflite-runtime) 2.14.0 with XNNPACK"),
    (TRIXIE, PI_3, "int8", None, "LiteRT 2.3.0 with XNNPACK"),
    (TRIXIE, PI_4, "dynamic", None, "LiteRT 2.3.0 with XNNPACK"),
    (TRIXIE, PI_5, "float32", None, "LiteRT 2.3.0 with XNNPACK"),
    (TRIXIE, PI_5, "onnx", None, "ONNX Runtime 1.31.1"),
    (NARROW, PI_2, "float32", None, "TensorFlow Lite (tflite-runtime) 2.14.0 without XNNPACK"),
    (NARROW, PI_2, "gray-int8", None, "TensorFlow Lite (tflite-runtime) 2.14.0 without XNNPACK"),
], ids=lambda value: "-".join(value) if isinstance(value, tuple) else value and value.split(" ")[0])
def test_the_self_test(where: tuple[str, str], cpu: str, kind: str, runtime: str | None, engine: str, needs: Needs,
                       bundle: MakeBundle, tmp_path: Path) -> None:
    folder, system = bundle(kind, runtime), System(*where, cpu)
    report = tmp_path / "report.json"
    report.write_text(emulated(system, folder, "--self-test", "--json", needs=needs))
    [model] = folder.glob("model.*")
    found = validate_device_report(model, report)
    assert found.judgement.outcome != "fail", found.judgement.reasons
    [run] = found.runs
    assert run.check is not None
    assert run.check.correct
    assert (found.report.runtime, found.report.device.abi) == (engine, system.machine)
    assert found.report.device.system.endswith(f"Python {system.python}.{found.report.device.system[-1]}")


@pytest.mark.parametrize(("where", "cpu", "kind", "tolerance"), [
    (TRIXIE, PI_5, "int8", 1e-5), (NARROW, PI_2, "float32", 1e-5)])
def test_a_folder_of_images(where: tuple[str, str], cpu: str, kind: str, tolerance: float, needs: Needs,
                            bundle: MakeBundle, tmp_path: Path) -> None:
    for name, colour in (("a", (250, 0, 30)), ("b", (0, 250, 30)), ("c", (30, 60, 250))):
        Image.fromarray(models.colour(*colour, 40)).save(tmp_path / f"{name}.png")
    folder = bundle(kind, None)
    out = emulated(System(*where, cpu), folder, tmp_path, "--json", needs=needs)
    classifier = Classifier(folder / "model.tflite")
    for line, path in zip(out.splitlines(), sorted(tmp_path.glob("*.png")), strict=True):
        there, here = json.loads(line), classifier.classify(path, top=3)
        assert there["source"] == path.name
        assert [each["label"] for each in there["labels"]] == [each.label for each in here.predictions]
        np.testing.assert_allclose([each["score"] for each in there["labels"]],
                                   [each.score for each in here.predictions], atol=tolerance)
