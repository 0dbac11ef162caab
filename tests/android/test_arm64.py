"""The arm64 library answers as Python does, in an emulated process: in every scheme, with XNNPACK and without.

Dense layers whose weights alone are quantized, with a scale for each output, it answers wrongly, and rightly on x86_64:
it takes one scale for all rows. So `dynamic` files have one, and `edgekit package android` refuses others.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from android_demo.tools.artifacts import Group
from edgekit.core import fitness
from edgekit.runtime.classify import Classifier
from edgekit.runtime.modelfile import mapped, tflite_body
from tests import models
from tests.android import networks
from tests.android.host import natives

if TYPE_CHECKING:
    from tests.conftest import Needs

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"
LARGEST = {"none": 5e-5, "float16": 5e-5, "dynamic": 0.1, "int8": 0.1, "int16x8": 2e-3}
XNNPACK = "TfLiteXNNPackDelegateCreate"


Run = Callable[..., tuple[NDArray[np.float32], NDArray[np.float32]]]


@pytest.fixture(scope="module")
def run(build: Group, needs: Needs, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a model on 16 images; gives the scores of the arm64 library and those of Python."""
    needs.program(COMPILER, apt="gcc-aarch64-linux-gnu libc6-dev-arm64-cross")
    needs.program(EMULATOR, apt="qemu-user-static")
    folder = tmp_path_factory.mktemp("arm64")
    libraries = natives.libraries(natives.of_abi(build, "arm64-v8a"), folder / "libraries", compiler=COMPILER)
    harness = folder / "harness"
    subprocess.run([COMPILER, "-O1", "-o", str(harness), str(natives.HERE / "harness.c"), "-ldl"], check=True)
    libc = subprocess.run([COMPILER, "-print-file-name=libc.so.6"], capture_output=True, text=True, check=True).stdout
    root = Path(os.path.realpath(libc.strip())).parent.parent

    def scores(model: Path, *, xnnpack: bool = False) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        classifier = Classifier(model)
        tensors = np.stack([classifier.prepare(image) for image in networks.images(16, seed=11)])
        body, inputs, outputs = (folder / name for name in ("body.tflite", "inputs", "outputs"))
        with mapped(model) as content:
            start, end = tflite_body(content)
            body.write_bytes(content[start:end])
        inputs.write_bytes(tensors.tobytes())
        command = [EMULATOR, "-L", root, "-E", f"LD_LIBRARY_PATH={libraries}", harness]
        library = libraries / "libtensorflowlite_jni.so"
        files = [library, body, inputs, outputs, *([library, XNNPACK] if xnnpack else [])]
        done = subprocess.run([*map(str, command), *map(str, files)], capture_output=True, text=True)
        assert done.returncode == 0, f"{model.name}: {done.returncode} {done.stderr}"
        return np.frombuffer(outputs.read_bytes(), np.float32).reshape(len(tensors), -1), classifier.scores(tensors)

    return scores


@pytest.mark.emulator
def test_every_scheme_on_arm64(run: Run, tmp_path: Path) -> None:
    for scheme, model in networks.in_every_scheme(tmp_path).items():
        for xnnpack in (False, True):
            here, python = run(model, xnnpack=xnnpack)
            assert np.abs(here - python).max() < LARGEST[scheme], (scheme, xnnpack)


@pytest.mark.emulator
def test_a_scale_for_each_output_of_a_dense_layer(run: Run, tmp_path: Path) -> None:
    """What `dynamic` files were made with before: wrong here, so packages refuse it."""
    rows = np.asarray(np.diag([0.002, 0.02, 0.05]), np.float32)  # of sizes so different that one scale does not do
    differences = {}
    for per_channel in (False, True):
        damage = models.dense_in_8_bits(per_channel=per_channel)
        path = models.tflite(tmp_path / "m.tflite", weights=rows, damage=damage)
        models.with_spec(path, models.spec())
        here, python = run(path)
        differences[per_channel] = float(np.abs(here - python).max())
        assert bool(fitness.runs_on(path, "android")) == per_channel
    assert differences[False] < LARGEST["dynamic"]
    assert differences[True] > 0.3, "it is right now: it need not be refused any longer"


@pytest.mark.emulator
@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_few_classes_in_int8(run: Run, tmp_path: Path, classes: int) -> None:
    """tflite-runtime 2.14 crashes on ARM with two or three outputs; the app's runtime does not."""
    here, python = run(networks.int8(tmp_path / "few", classes))
    assert np.abs(here - python).max() < LARGEST["int8"]
