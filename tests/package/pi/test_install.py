"""`install.sh` itself: what it refuses on machines that are told to it, and what it does on this one."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest

from tests import bundles, models
from tests.conftest import Needs

PYTHON = """#!/bin/sh
echo {facts}
"""
UNAME = """#!/bin/sh
echo {machine}
"""


def machine(folder: Path, python: str, bits: int, name: str) -> dict[str, str]:
    """An environment in which `python3` and `uname` say that this is another machine."""
    folder.mkdir()
    for program, text in (("python3", PYTHON.format(facts=f"{python} {bits}")), ("uname", UNAME.format(machine=name))):
        (folder / program).write_text(text)
        (folder / program).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:/usr/bin:/bin"}


@pytest.fixture(scope="module")
def litert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.folder(tmp_path_factory.mktemp("litert"))


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.folder(tmp_path_factory.mktemp("old"), runtime="tflite-runtime")


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    return bundles.folder(folder, models.with_spec(models.onnx(folder / "m.onnx")), ungated=True)


@pytest.mark.parametrize(("bundle", "python", "bits", "name", "words"), [
    ("litert", "3.13", 32, "armv7l", "32-bit Python 3.13 has no wheel of a TensorFlow Lite runtime; only 3.11 has"),
    ("litert", "3.13", 32, "aarch64", "32-bit Python 3.13 has no wheel"),  # a 32-bit system on a 64-bit kernel
    ("litert", "3.11", 32, "armv6l", "a 64-bit Raspberry Pi OS is needed"),
    ("litert", "3.9", 64, "aarch64", "Python 3.9 has no wheel of litert; these have: 3.11 3.12 3.13 3.14"),
    ("litert", "3.15", 64, "aarch64", "Python 3.15 has no wheel of litert"),
    ("old", "3.13", 64, "aarch64", "Python 3.13 has no wheel of tflite-runtime; these have: 3.11"),
    ("onnx", "3.11", 32, "armv7l", "this system is 32-bit, and this bundle runs on 64-bit ones only"),
])
def test_refusals_in_words(bundle: str, python: str, bits: int, name: str, words: str, tmp_path: Path,
                           request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(bundle)
    environment = machine(tmp_path / "bin", python, bits, name)
    done = subprocess.run([folder / "install.sh"], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert not (folder / ".venv").exists()


def test_help_and_unknown_options(litert: Path) -> None:
    done = subprocess.run([litert / "install.sh", "--help"], capture_output=True, text=True, check=True)
    assert "--service" in done.stdout
    assert subprocess.run([litert / "install.sh", "--what"], capture_output=True, check=False).returncode == 2


@pytest.mark.skipif(os.getuid() != 0, reason="needs to be root to be refused as root")
def test_no_service_runs_as_root(litert: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "SUDO_USER"}
    done = subprocess.run([litert / "install.sh", "--service", "--no-apt"], capture_output=True, text=True,
                          env=environment, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "not as root" in done.stderr


def test_before_it_is_installed(litert: Path, needs: Needs) -> None:
    needs.program("python3", apt="python3")
    command = ["python3", "-S", "-I", str(litert / "classify"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("Run ./install.sh first.\n")


@pytest.mark.slow
def test_it_installs_and_says_so_first(tmp_path: Path, needs: Needs) -> None:
    """For real, with pip: without a network, then with it, and again, when nothing is to be done."""
    needs.program("python3", apt="python3 python3-venv")
    needs.program("systemd-analyze", apt="systemd")
    folder = bundles.folder(tmp_path)
    alone = {**os.environ, "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run([folder / "install.sh", "--no-apt"], capture_output=True, text=True, env=alone, check=False)
    assert done.returncode == 2
    assert "install.sh: pip could not install litert and what it needs" in done.stderr
    said = []
    for _ in range(2):
        done = subprocess.run([folder / "install.sh", "--no-apt"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    first, second = said
    assert "  - a Python environment, .venv, which sees the system's packages" in first
    assert "  - the Python environment .venv is there already" in second
    for text in said:
        assert text.index("What is done now") < text.index("OK: All 6 golden answers are right")
    # classify finds the environment by itself, from any folder.
    done = subprocess.run([folder / "classify", "--self-test"], cwd="/", capture_output=True, text=True, check=True)
    assert "OK: All 6 golden answers" in done.stdout
    unit = folder / "edgekit-colours.service"
    assert f"ExecStart={folder}/classify $CLASSIFY" in unit.read_text()
    assert "@" not in unit.read_text().split("\n", 1)[1]
    subprocess.run(["systemd-analyze", "verify", unit], check=True)
    # After an upgrade of the system the environment is of a Python that is gone.
    newer = subprocess.run([folder / "install.sh", "--no-apt"], capture_output=True, text=True, check=False,
                           env=machine(tmp_path / "newer", "3.14", 64, platform.machine()))
    assert "  - a Python environment, .venv, which sees the system's packages" in newer.stdout
