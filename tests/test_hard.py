"""Networks made hard answer in float what they answered before, and break when they are quantized as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.convert.run import convert
from edgekit.core import child
from edgekit.core.errors import ConversionError
from edgekit.validate.run import validate
from edgekit.validate.statistics import Parity
from tests import hard
from tests.session_models import TrainedOnce

pytestmark = pytest.mark.slow

LOST = 20.0  # points of top-1: what a person meets as "int8 lost 20 points", at the least


def of_int8(float_file: Path, data: Path) -> Parity | None:
    """What plain int8 makes of a float file; None where it collapsed so far that nothing was written."""
    target = float_file.with_suffix(f".int8{float_file.suffix}")
    try:
        convert(float_file, target, quantize="int8", calibrate=data)
    except ConversionError as error:
        if "collapsed" not in error.message:
            raise
        return None
    return validate(float_file, [target], data).candidates[0].parity


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_a_network_with_relu(trained: TrainedOnce, hard_cnn: Path, many: Path, tmp_path: Path, kind: str) -> None:
    easy = convert(trained.result.path, tmp_path / f"easy.{kind}").path
    made = convert(hard_cnn, tmp_path / f"hard.{kind}").path
    same = validate(easy, [made], many).candidates[0].parity
    assert same.agreement == 1
    assert same.max_difference < 1e-5
    kept, lost = of_int8(easy, many), of_int8(made, many)
    assert kept is not None
    assert kept.drop is not None
    assert kept.drop < 2
    assert lost is None or (lost.drop is not None and lost.drop > LOST)


def test_a_network_with_relu6(with_spec: Callable[[str], Path], hard_relu6: Path, many: Path, tmp_path: Path) -> None:
    easy = convert(with_spec("rescaled"), tmp_path / "easy.tflite").path
    made = convert(hard_relu6, tmp_path / "hard.tflite").path
    same = validate(easy, [made], many).candidates[0].parity
    assert same.agreement == 1
    assert same.max_difference < 1e-5
    kept, lost = of_int8(easy, many), of_int8(made, many)
    assert kept is not None
    assert kept.agreement > 0.98
    assert lost is None or lost.agreement < 1 - LOST / 100


def test_every_layer_of_the_network_is_scaled_or_those_asked_for(
    trained: TrainedOnce, hard_cnn: Path, tmp_path: Path
) -> None:
    every = hard.harden(trained.result.path, tmp_path / "every.keras")
    assert every[:3] == ["stem", "depthwise1", "pointwise1"]
    assert every[-1].startswith("pointwise")  # pooling lies between it and the dense layer
    assert hard.harden(trained.result.path, tmp_path / "one.keras", pairs=["depthwise1"]) == ["depthwise1"]
    found = child.call("tests.test_hard:ranges", easy=str(trained.result.path), made=str(tmp_path / "one.keras"))
    assert found["changed"] == ["depthwise1_norm", "pointwise1"]
    assert (found["least"], found["most"]) == (2.0**-hard.SPREAD, 2.0**hard.SPREAD)


def ranges(easy: str, made: str) -> dict[str, object]:
    """In a child process: which layers' weights differ between two files, and the factors of the first of them."""
    import keras

    first, second = (keras.saving.load_model(path, compile=False) for path in (easy, made))
    changed = {
        one.name: np.asarray(other.get_weights()[0]) / np.asarray(one.get_weights()[0])
        for one, other in zip(first.layers, second.layers, strict=True)
        if any(not np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))
    }
    factors = next(iter(changed.values()))
    return {"changed": list(changed), "least": float(factors.min()), "most": float(factors.max())}
