"""The app's classes that need no Android: JUnit tests on a plain JVM, against what Python says of the same things."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgekit.validate.device_report import read_device_report
from tests.android import java_cases
from tests.android.conftest import RUNTIME, TESTS, JUnit

FIXTURES = Path(__file__).parents[1] / "fixtures"
PACKAGE = "ai.edgekit.demo.runtime"
PLAIN = ("CameraVectors", "FrameAllocation", "ModelFile", "Preprocess", "Ranking", "Scores", "SelfTest", "Spec",
         "Tolerance")  # fmt: skip


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return java_cases.write_all(tmp_path_factory.mktemp("java") / "cases")


def test_the_twins_of_the_runtime(junit: JUnit, runtime_classpath: list[Path], cases: Path) -> None:
    said = junit(
        [TESTS / RUNTIME],
        [f"{PACKAGE}.{name}Test" for name in PLAIN],
        runtime_classpath,
        properties={"edgekit.fixtures": FIXTURES, "edgekit.cases": cases},
    )
    [count] = re.findall(r"OK \((\d+) tests\)", said)
    assert int(count) >= 30
    small, full = (read_device_report(cases / f"{name}.report.json") for name in ("small", "full"))
    assert [run.status for run in small.runs] == ["ok", "wrong", "unavailable"]
    assert (small.chosen, small.live, small.sustained) == ("cpu", None, None)
    assert full.camera.wrong == (2, 7)
    assert full.live is not None
    assert full.live.fps == 29.5
    assert full.sustained is not None
    assert len(full.sustained.samples) == 2
