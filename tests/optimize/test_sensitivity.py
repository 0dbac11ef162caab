"""Which layer suffers most, measured in a child process that layers may take down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.convert.float_core import source_spec
from edgekit.data.dataset import open_dataset
from edgekit.data.stream import BadImages
from edgekit.optimize import sensitivity
from edgekit.optimize.material import Core, make_core
from edgekit.optimize.sensitivity import MOST_DB, rank
from edgekit.quantize import calibration
from edgekit.quantize.plan import Plan
from edgekit.validate.optimized import Sensitivity
from tests import keras_models


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sensitivity")
    pixels = keras_models.images(20, 5)[0]
    np.savez(folder / "data.npz", x=pixels)
    np.save(folder / "pixels.npy", pixels)
    return folder


def core_of(source: Path, images: Path) -> Core:
    spec = source_spec(source)
    chosen = calibration.choose(open_dataset(images / "data.npz"), spec, 20, 0, BadImages())
    return make_core(source.suffix[1:], source, spec, source.suffix[1:], chosen, images, False)


def ranked(core: Core, images: Path) -> list[Sensitivity]:
    return rank(Plan("int8"), core.path, core.statistics, core.spec, images / "pixels.npy", None, 16 << 30)


@pytest.fixture(scope="module")
def core(float_tflite: Path, images: Path) -> Core:
    return core_of(float_tflite, images)


@pytest.fixture(scope="module")
def found(core: Core, images: Path) -> list[Sensitivity]:
    return ranked(core, images)


def test_every_layer_with_weights_is_measured(found: list[Sensitivity]) -> None:
    assert {layer.kind for layer in found} == {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
    assert [layer.sqnr_db for layer in found] == sorted(layer.sqnr_db for layer in found)
    assert all(10 < layer.sqnr_db < MOST_DB for layer in found)
    assert all(layer.bytes > 0 for layer in found)
    assert sum(layer.gain_per_byte * layer.bytes for layer in found) == pytest.approx(1)


def test_a_layer_that_crashes_is_left_out_and_the_others_are_measured(
    core: Core, images: Path, found: list[Sensitivity], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_TEST_CRASHING", found[1].tensor)
    monkeypatch.setattr(sensitivity, "MEASURE", "tests.optimize.in_child:measure_or_crash")
    again = ranked(core, images)
    assert [layer.tensor for layer in again] == [layer.tensor for layer in found if layer != found[1]]
    assert [layer.sqnr_db for layer in again] == [layer.sqnr_db for layer in found if layer != found[1]]


def test_layers_of_onnx(float_onnx: Path, images: Path) -> None:
    found = ranked(core_of(float_onnx, images), images)
    assert {layer.kind for layer in found} == {"Conv", "MatMul"}
    assert all(10 < layer.sqnr_db < MOST_DB for layer in found)
