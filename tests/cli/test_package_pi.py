from __future__ import annotations

from pathlib import Path

import pytest

from tests import bundles
from tests.cli.conftest import Run


def test_the_command(run: Run, tmp_path: Path) -> None:
    model = bundles.model(tmp_path / "m.tflite")
    ran = run("package", "pi", model)
    assert ran.code == 0
    assert "32-bit: Python 3.11 only" in ran.out
    assert "Python 3.13 has no wheel" in ran.out
    assert f"wrote {tmp_path}/m.tar.gz" in ran.out
    spaced = bundles.model(tmp_path / "my model.tflite")
    assert "tar -xzf 'my model.tar.gz' && cd my-model &&" in run("package", "pi", spaced).out
    ran = run("package", "pi", model, "--json", "--runtime", "tflite-runtime", "--name", "birds")
    assert (ran.json["name"], ran.json["runtime"], ran.json["verdict"]) == ("birds", "tflite-runtime", "pass")


@pytest.mark.parametrize("kind", ["pi", "android"])
def test_a_folder_is_no_model(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("package", kind, ".")
    assert (ran.code, list(tmp_path.iterdir())) == (2, [])
