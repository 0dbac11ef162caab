"""What the doctor finds on this machine, on one without packages, and on one with GPUs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import edgekit
from edgekit.core.doctor import examine

ROOT = Path(edgekit.__file__).parents[1]


def test_the_versions_are_those_installed() -> None:
    found = examine()
    packages = {name: version for name, version, _ in found.packages}
    for name in ("numpy", "pillow", "ai-edge-litert", "litert-quantizer"):
        assert packages[name] == metadata.version(name)
    assert found.python == platform.python_version()
    assert found.machine == f"{platform.system()} {platform.machine()}"
    assert found.cores == os.cpu_count()
    assert all(purpose for name, _, purpose in found.packages if name != "edgekit")


def test_an_extra_is_complete_when_all_of_its_packages_are_there() -> None:
    found = examine()
    packages = {name for name, version, _ in found.packages if version}
    assert found.extras["onnx"][0] == ({"onnxruntime", "onnx", "tf2onnx", "onnxslim"} <= packages)
    assert found.extras["serve"][0] == ({"flask", "waitress", "prometheus-client"} <= packages)
    assert found.extras["keras"][0] == ({"tensorflow", "keras"} <= packages)


def test_a_machine_without_any_package() -> None:
    code = (
        "import dataclasses, json, sys; sys.path.insert(0, sys.argv[1]); from edgekit.core.doctor import examine\n"
        "print(json.dumps(dataclasses.asdict(examine())))"
    )
    command = [sys.executable, "-I", "-S", "-c", code, str(ROOT)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout)
    versions = {name: version for name, version, _ in found["packages"]}
    versions.pop("edgekit")  # may be found beside its sources
    assert set(versions.values()) == {""}
    assert [complete for complete, _ in found["extras"].values()] == [False, False, False]


@pytest.mark.parametrize(
    ("script", "gpus"),
    [
        ("echo 'NVIDIA H200'; echo; echo ' Tesla T4 '", ("NVIDIA H200", "Tesla T4")),
        ("echo 'No devices were found'; exit 6", ()),
        ("kill -9 $$", ()),
    ],
)
def test_gpus_are_what_the_driver_s_program_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, gpus: tuple[str, ...]
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert examine().gpus == gpus


def test_a_machine_without_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert examine().gpus == ()


def test_a_program_that_cannot_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_bytes(b"\x7fELF broken")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert examine().gpus == ()
