"""The tables of what the app's delegates take, against the delegates in its libraries: models of one operator each."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.core.anatomy import read_graphs
from edgekit.core.delegates import placements
from tests.android.host import natives
from tests.core.delegate_cases import cases

pytestmark = pytest.mark.slow

MAKERS = {
    "xnnpack-2.16.1": ("libtensorflowlite_jni.so", "TfLiteXNNPackDelegateCreate"),
    "gpu": ("libtensorflowlite_gpu_jni.so", "TfLiteGpuDelegateV2Create"),
}

Takes = Callable[[Path, str], bool]


@pytest.fixture(scope="module")
def takes(host_libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> Takes:
    """Whether a delegate of the app takes a model's only operator."""
    folder = tmp_path_factory.mktemp("harness")
    harness = folder / "harness"
    subprocess.run(["gcc", "-O1", "-o", str(harness), str(natives.HERE / "harness.c"), "-ldl"], check=True)
    (folder / "none").touch()

    def ask(model: Path, delegate: str) -> bool:
        library, maker = MAKERS[delegate]
        command = [harness, host_libraries / "libtensorflowlite_jni.so", model, folder / "none", folder / "out",
                   host_libraries / library, maker]
        environment = {**os.environ, **natives.MESA, "LD_LIBRARY_PATH": str(host_libraries)}
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment)
        assert "delegate " in done.stdout, (model.name, done.returncode, done.stderr)
        replaced = re.search(r"Replacing (\d+) out of 1 node", done.stdout + done.stderr)
        return "delegate applied" in done.stdout and replaced is not None and replaced[1] == "1"

    return ask


@pytest.mark.parametrize("delegate", MAKERS)
def test_one_operator_at_a_time(takes: Takes, tmp_path: Path, delegate: str) -> None:
    table, real = {}, {}
    for name, path in cases(tmp_path):
        [found] = [one for one in placements(read_graphs(path)[0]) if one.delegate == delegate]
        # Mesa has OpenGL alone.
        table[name] = found.operators[0].taken and found.operators[0].reason != "with OpenCL only"
        real[name] = takes(path, delegate)
    assert table == real
