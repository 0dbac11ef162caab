"""Layers taken apart compute what they compute in the whole model, from what they are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core.errors import ModelFileError
from edgekit.quantize.isolate import isolate
from edgekit.quantize.taps import open_taps
from tests.keras_models import images

IMAGE = images(1, 3)[0].astype(np.float32)


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_given_its_own_activations(request: pytest.FixtureRequest, kind: str) -> None:
    path: Path = request.getfixturevalue(f"float_{kind}")
    whole = open_taps(path).run(IMAGE)
    apart = isolate(path, {name: values.shape for name, values in whole.items()})
    assert set(apart.names) == set(whole)
    computed = apart.run(IMAGE, whole)
    for name, values in whole.items():
        np.testing.assert_allclose(computed[name], values, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_what_is_given_reaches_the_next_layer_alone(request: pytest.FixtureRequest, kind: str) -> None:
    path: Path = request.getfixturevalue(f"float_{kind}")
    whole = open_taps(path).run(IMAGE)
    [pooled] = [name for name in whole if "pool" in name]
    after = list(whole)[list(whole).index(pooled) + 1]
    apart = isolate(path, {name: values.shape for name, values in whole.items()})
    computed = apart.run(IMAGE, {**whole, pooled: np.zeros_like(whole[pooled])})
    np.testing.assert_allclose(computed[after], 0, atol=1e-6)  # the dense layer has no bias
    for name in set(whole) - {after}:
        np.testing.assert_allclose(computed[name], whole[name], rtol=1e-5, atol=1e-5)


def test_names_that_are_not_there_are_left_out(float_tflite: Path) -> None:
    assert isolate(float_tflite, {"nowhere": (1, 3)}).names == ()


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text("no model")
    with pytest.raises(ModelFileError, match="taken apart"):
        isolate(tmp_path / "model.txt", {})


def test_a_damaged_file_is_refused(float_tflite: Path, tmp_path: Path, request: Any) -> None:
    data = bytearray(float_tflite.read_bytes())
    (tmp_path / "cut.tflite").write_bytes(data[: len(data) // 3])
    with pytest.raises(ModelFileError):
        isolate(tmp_path / "cut.tflite", {"scores": (1, 3)})
