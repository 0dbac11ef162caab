"""What a conversion's output must not be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.convert import check
from edgekit.core.errors import ConversionError
from edgekit.runtime.interpreters import open_interpreter
from tests import models
from tests.keras_models import images
from tests.session_models import nchw_logits, write_nchw_onnx

SCORES = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], np.float32)
TEN = np.tile(SCORES, (4, 1))[:10]


def broken(value: float) -> NDArray[np.float32]:
    scores = SCORES.copy()
    scores[1, 1] = value
    return scores


def test_equal_within_the_noise_of_float_arithmetic() -> None:
    check.require_equal(SCORES, SCORES + np.float32(1e-6), "m.keras")
    check.require_equal(1e6 * SCORES, 1e6 * SCORES + 100, "m.keras")
    with pytest.raises(ConversionError, match=r"answers differently \(by 0\.01\)"):
        check.require_equal(SCORES, SCORES + np.float32(0.01), "m.keras")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite(value: float) -> None:
    with pytest.raises(ConversionError, match=r"m\.keras itself answers with NaN"):
        check.require_equal(broken(value), broken(value), "m.keras")
    with pytest.raises(ConversionError, match=r"Converting m\.keras gave a model that answers NaN"):
        check.require_equal(SCORES, broken(value), "m.keras")
    with pytest.raises(ConversionError, match=r"m\.keras itself answers with NaN"):
        check.require_alive(broken(value), "m.keras")
    with pytest.raises(ConversionError, match="Quantizing to int8 gave a model that answers NaN"):
        check.compare(SCORES, broken(value), "int8")


def test_constant() -> None:
    check.require_alive(SCORES, "m.keras")
    check.require_alive(np.array([[0.5, 0.5], [0.5, 0.50001]], np.float32), "m.keras")
    with pytest.raises(ConversionError, match=r"m\.keras itself answers the same whatever it sees"):
        check.require_alive(np.tile(SCORES[:1], (5, 1)), "m.keras")
    with pytest.raises(ConversionError, match="it has collapsed"):
        check.compare(SCORES, np.tile(SCORES[:1], (3, 1)), "int8")


def test_collapsed() -> None:
    always_first = np.tile(np.array([[0.8, 0.2], [0.7, 0.3]], np.float32), (5, 1))
    with pytest.raises(ConversionError, match="it has collapsed") as raised:
        check.compare(TEN, always_first, "int8")
    assert "int16x8" in raised.value.hint
    check.compare(TEN[:3], always_first[:3], "int8")  # too few images to say so
    same_winner = np.tile(np.array([[0.9, 0.1], [0.6, 0.4]], np.float32), (5, 1))
    check.compare(same_winner, always_first, "int8")  # its source does the same


def test_figures() -> None:
    candidate = SCORES.copy()
    candidate[2] = [0.45, 0.55]
    found = check.compare(SCORES, candidate, "int8")
    assert found.images == 3
    assert found.agreement == pytest.approx(2 / 3)
    assert found.max_difference == pytest.approx(0.15)


def test_float_models_are_run_in_both_layouts(tmp_path: Path) -> None:
    pixels = images(70)[0]
    model = open_interpreter(write_nchw_onnx(tmp_path / "nchw.onnx"))
    expected = nchw_logits(pixels.transpose(0, 3, 1, 2).astype(np.float32))
    assert np.allclose(check.run_float(model, pixels, "NCHW"), expected, rtol=1e-4)
    small = images(70, 0, models.SIDE, models.SIDE)[0]
    model = open_interpreter(models.tflite(tmp_path / "nhwc.tflite"))
    expected = np.stack([models.expected(image) for image in small])
    assert np.allclose(check.run_float(model, small, "NHWC"), expected, atol=1e-5)


def test_a_rare_class_that_is_lost_is_no_collapse() -> None:
    reference = np.tile(np.array([[0.9, 0.1]], np.float32), (200, 1))
    reference[7] = 0.495, 0.505
    candidate = reference.copy()
    candidate[7] = 0.502, 0.498
    assert check.compare(reference, candidate, "int8").agreement == 0.995
