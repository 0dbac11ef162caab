"""The arm64 library answers as Python does, in an emulated process: in every scheme but one.

`dynamic` is wrong there, and right on x86_64: the library takes one scale for all rows of a dense layer whose weights
alone are quantized, where litert-quantizer gives each row its own. So `edgekit package android` refuses it.
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
from edgekit.runtime.classify import Classifier
from edgekit.runtime.modelfile import mapped, tflite_body
from tests.android import networks
from tests.android.host import natives

if TYPE_CHECKING:
    from tests.conftest import Needs

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"
LARGEST = {"none": 5e-5, "float16": 5e-5, "int8": 0.1, "int16x8": 2e-3}


Run = Callable[[Path], tuple[NDArray[np.float32], NDArray[np.float32]]]


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

    def scores(model: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        classifier = Classifier(model)
        tensors = np.stack([classifier.prepare(image) for image in networks.images(16, seed=11)])
        body, inputs, outputs = (folder / name for name in ("body.tflite", "inputs", "outputs"))
        with mapped(model) as content:
            start, end = tflite_body(content)
            body.write_bytes(content[start:end])
        inputs.write_bytes(tensors.tobytes())
        command = [EMULATOR, "-L", root, "-E", f"LD_LIBRARY_PATH={libraries}", harness]
        files = [libraries / "libtensorflowlite_jni.so", body, inputs, outputs]
        done = subprocess.run([*map(str, command), *map(str, files)], capture_output=True, text=True)
        assert done.returncode == 0, f"{model.name}: {done.returncode} {done.stderr}"
        return np.frombuffer(outputs.read_bytes(), np.float32).reshape(len(tensors), -1), classifier.scores(tensors)

    return scores


@pytest.mark.emulator
def test_every_scheme_on_arm64(run: Run, tmp_path: Path) -> None:
    for scheme, model in networks.in_every_scheme(tmp_path).items():
        here, python = run(model)
        difference = np.abs(here - python).max()
        if scheme in LARGEST:
            assert difference < LARGEST[scheme], scheme
        else:
            assert difference > 0.9, "dynamic is right now: it need not be refused any longer"


@pytest.mark.emulator
@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_few_classes_in_int8(run: Run, tmp_path: Path, classes: int) -> None:
    """tflite-runtime 2.14 crashes on ARM with two or three outputs; the app's runtime does not."""
    here, python = run(networks.int8(tmp_path / "few", classes))
    assert np.abs(here - python).max() < LARGEST["int8"]
