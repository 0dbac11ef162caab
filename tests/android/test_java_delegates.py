"""The app's classifier and self-test on its own native libraries: CPU, the GPU delegate on Mesa, NNAPI's stand-in."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgekit.convert.run import convert
from edgekit.core import embed
from edgekit.runtime.modelfile import read_spec
from edgekit.runtime.spec import Quantization, encode_scores
from tests import models
from tests.android.conftest import RUNTIME, TESTS, JUnit
from tests.android.host import natives

SCHEMES = ("none", "float16", "int8")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`networks`: with golden answers; `other.tflite`: with those of another model; `misfits`: with other specs."""
    folder = tmp_path_factory.mktemp("delegates")
    (folder / "networks").mkdir()
    (folder / "misfits").mkdir()
    photos, source = folder / "photos.npz", models.with_spec(models.tflite(folder / "colours.tflite", batch=1))
    images = np.random.default_rng(6).integers(0, 256, (40, 1, 1, 3), np.uint8)
    images = images.repeat(models.SIDE, 1).repeat(models.SIDE, 2)
    np.savez(photos, x=images, y=np.zeros(len(images), np.int64))
    for scheme in SCHEMES:
        calibrate = photos if scheme == "int8" else None
        convert(source, folder / "networks" / f"{scheme}.tflite", quantize=scheme, calibrate=calibrate)

    good = folder / "networks" / "int8.tflite"
    spec = read_spec(good)
    assert spec is not None
    assert any(golden.image for golden in spec.golden)
    wrong = tuple(
        dataclasses.replace(golden, scores=encode_scores(golden.score_array()[::-1])) for golden in spec.golden
    )
    embed.write_spec(good, dataclasses.replace(spec, golden=wrong), folder / "other.tflite")

    image = models.spec().input
    misfits = {
        "dtype": models.spec(input=dataclasses.replace(image, dtype="uint8", quantization=Quantization(1, 0))),
        "labels": models.spec(labels=("red", "green")),
        "side": models.spec(input=dataclasses.replace(image, height=9)),
        "layout": models.spec(input=dataclasses.replace(image, layout="NCHW")),
    }
    for name, misfit in misfits.items():
        models.with_spec(models.tflite(folder / "misfits" / f"{name}.tflite"), misfit)
    return folder


@pytest.mark.parametrize("nnapi", [False, True], ids=["without NNAPI", "with NNAPI"])
def test_the_self_test_on_real_delegates(
    nnapi: bool, junit: JUnit, runtime_classpath: list[Path], cases: Path, host_libraries: Path, nnapi_libraries: Path
) -> None:
    junit(
        [TESTS / RUNTIME],
        ["ai.edgekit.demo.runtime.DelegatesTest"],
        runtime_classpath,
        properties={"edgekit.cases": cases, "edgekit.nnapi": str(nnapi).lower()},
        libraries=nnapi_libraries if nnapi else host_libraries,
        environment=natives.MESA,
    )
