"""The main job from end to end: `edgekit build models/digits`, then its files on images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import edgekit
from edgekit.runtime import modelfile

if TYPE_CHECKING:
    from tests.conftest import Needs

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "digits.float32.tflite": "none",
    "digits.float16.tflite": "float16",
    "digits.dynamic.tflite": "dynamic",
    "digits.int8.tflite": "int8",
    "digits.int16x8.tflite": "int16x8",
    "digits.float32.onnx": "none",
    "digits.float16.onnx": "float16",
    "digits.int8.onnx": "int8",
}
EXPORTED = 60


def run(*arguments: object) -> str:
    """The stdout of a command that must succeed."""
    words = [sys.executable, "-m", "edgekit.cli.main", *map(str, arguments)]
    ran = subprocess.run(
        words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def built(needs: Needs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    for name in ("tensorflow", "tf2onnx"):
        needs.module(name, "pip install 'edgekit[all]'")
    folder = tmp_path_factory.mktemp("digits")
    return folder, json.loads(run("build", ROOT / "models" / "digits", "-o", folder, "--json"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of the digits as PNG files, named by what they show."""
    folder = tmp_path_factory.mktemp("digits") / "png"
    folder.mkdir()
    with np.load(ROOT / "models" / "digits" / "digits.npz") as stored:
        for number in range(EXPORTED):
            Image.fromarray(stored["x"][number]).save(folder / f"{stored['y'][number]}-{number:02}.png")
    return folder


@pytest.mark.slow
def test_every_file_passes(built: tuple[Path, dict[str, object]]) -> None:
    folder, told = built
    assert told["outcomes"] == dict.fromkeys(FILES, "pass")
    assert isinstance(told["top1"], float)
    assert told["top1"] > 0.95
    reports = {"digits.html", "digits.validation.html"}
    assert {path.name for path in folder.iterdir()} == {"build.json", "digits.keras", *reports, *FILES}
    for name, scheme in FILES.items():
        spec = modelfile.read_spec(folder / name)
        assert spec is not None
        assert (spec.scheme, spec.input.dtype, spec.preprocess.channel_order) == (scheme, "uint8", "gray")
        assert spec.labels == tuple("0123456789")
        assert spec.verdict is not None
        assert (spec.verdict.outcome, spec.verdict.images) == ("pass", 1797)
        assert spec.verdict.model_sha256 == modelfile.digest(folder / name)
        assert spec.verdict.reference_sha256 == modelfile.digest(folder / "digits.keras")


@pytest.mark.slow
def test_quantized_files_are_smaller(built: tuple[Path, dict[str, object]]) -> None:
    folder, _ = built
    for kind in ("tflite", "onnx"):
        whole = (folder / f"digits.float32.{kind}").stat().st_size
        assert (folder / f"digits.float16.{kind}").stat().st_size < 0.65 * whole
        assert (folder / f"digits.int8.{kind}").stat().st_size < 0.55 * whole


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits.keras", *FILES])
def test_what_the_files_say_of_images(built: tuple[Path, dict[str, object]], digits: Path, name: str) -> None:
    answers = [json.loads(line) for line in run("predict", built[0] / name, digits, "--json").splitlines()]
    assert len(answers) == EXPORTED
    right = sum(Path(answer["path"]).name[0] == answer["predictions"][0]["label"] for answer in answers)
    assert right >= 0.9 * EXPORTED


@pytest.mark.slow
def test_from_python(built: tuple[Path, dict[str, object]]) -> None:
    classifier = edgekit.load(built[0] / "digits.int8.tflite")
    assert classifier.classify(ROOT / "models" / "digits" / "seven.png").predictions[0].label == "7"


@pytest.mark.slow
def test_the_second_time_nothing_is_made(built: tuple[Path, dict[str, object]]) -> None:
    folder, _ = built
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    out = run("build", ROOT / "models" / "digits", "-o", folder)
    assert out.splitlines()[-1] == f"made 0 files in {folder}, 9 were up to date"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
