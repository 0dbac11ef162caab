"""The table of operators that `edgekit package` refuses models by is what the app's own library says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from edgekit.core import tflite_runtimes
from edgekit.package.android.template import Template
from tests.android.host import natives

if TYPE_CHECKING:
    from tests.conftest import Needs

ROOT = Path(__file__).resolve().parents[2]


def test_the_operators_of_the_runtime(app_template: Path, needs: Needs, tmp_path: Path) -> None:
    needs.program("gcc", apt="gcc libc6-dev")
    template = Template(app_template)
    if not tflite_runtimes.is_known(template.facts.runtime):
        needs.leave_out(f"the template is built with TensorFlow Lite {template.facts.runtime}", "make android")
    content = {PurePosixPath(name).name: data for name, data in template.libraries("x86_64")}
    folder = natives.libraries({"libtensorflowlite_jni.so": content["libtensorflowlite_jni.so"]}, tmp_path / "lib")
    done = subprocess.run(
        [sys.executable, "-m", "tests.android.host.operators", str(folder / "libtensorflowlite_jni.so")],
        cwd=ROOT, env={**os.environ, "LD_LIBRARY_PATH": str(folder)}, capture_output=True, text=True, check=True,
        timeout=120,
    )
    known = {name: facts[template.facts.runtime] for name, facts in tflite_runtimes._facts()["operators"].items()
             if template.facts.runtime in facts}
    assert json.loads(done.stdout) == known
    assert len(known) > 150
