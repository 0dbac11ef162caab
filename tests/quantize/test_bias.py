"""Bias correction: channels have the means in quantized files that they have in float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.quantize.bias import correct_bias
from edgekit.quantize.estimators import estimate
from edgekit.quantize.litert_adapter import quantize as quantize_tflite
from edgekit.quantize.network import open_network
from edgekit.quantize.observe import observe
from edgekit.quantize.onnx_adapter import quantize as quantize_onnx
from edgekit.quantize.plan import Plan
from tests.quantize.sketches import LAYOUTS, Sketch, answers, images

WEIGHTS = pytest.mark.parametrize(
    ("suffix", "scheme"), [(".tflite", "int8"), (".tflite", "dynamic"), (".tflite", "weight4"), (".onnx", "int8")]
)


def quantized(core: Path, plan: Plan, pixels: NDArray[np.uint8]) -> Path:
    """The core by a plan, with float32 in and out."""
    target = core.with_name(f"{core.stem}.{plan.scheme}{core.suffix}")
    ranges = None
    if plan.calibrated:
        estimated = estimate(observe(core, pixels, LAYOUTS[core.suffix], histograms=False), "minmax", 8)
        ranges = {name: list(limits) for name, limits in estimated.items()}
    if core.suffix == ".tflite":
        quantize_tflite(str(core), str(target), plan.to_json(), ranges, "float32", False)
    else:
        quantize_onnx(str(core), str(target), plan.to_json(), ranges)
    return target


def deep(path: Path) -> Path:
    """Every kind of layer; the outputs are means over places."""
    net = Sketch(seed=3)
    net.conv("first", "image", 16, "relu")
    net.conv("deep", "first", 16, "relu", groups=16)
    net.conv("third", "deep", 16)
    net.one("mean", "mean", "third")
    net.dense("scores", "mean", 8)
    return net.write(path)


def lopsided(core: Path, quantized: Path, pixels: NDArray[np.uint8]) -> float:
    """How far the mean of an output is off, on average over outputs."""
    return float(np.abs((answers(quantized, pixels) - answers(core, pixels)).mean(0)).mean())


@WEIGHTS
def test_means_come_back(tmp_path: Path, suffix: str, scheme: str) -> None:
    pixels, layout = images(48), LAYOUTS[suffix]
    core = deep(tmp_path / f"core{suffix}")
    plain = quantized(core, Plan(scheme), pixels)
    corrected = tmp_path / f"corrected{suffix}"
    result = correct_bias(core, plain, corrected, pixels, layout)
    assert [name.removesuffix("_before") for name, _ in result.layers] == ["first", "deep", "third", "scores"]
    assert all(shift > 0 for _, shift in result.layers)
    assert lopsided(core, quantized(corrected, Plan(scheme), pixels), pixels) < 0.7 * lopsided(core, plain, pixels)


@WEIGHTS
def test_one_layer_is_corrected_exactly(tmp_path: Path, suffix: str, scheme: str) -> None:
    pixels = images(16)
    net = Sketch(seed=5)
    net.conv("conv", "image", 24)
    net.one("mean", "scores", "conv")
    core = net.write(tmp_path / f"core{suffix}")
    plain = quantized(core, Plan(scheme), pixels)
    corrected = tmp_path / f"corrected{suffix}"
    correct_bias(core, plain, corrected, pixels, LAYOUTS[suffix])

    before, after = open_network(core), open_network(corrected)
    [weights] = before.quantized_weights(plain).values()
    bias = after.bias(0)
    assert bias is not None
    network = open_network(core)
    network.set_weights(0, weights)
    network.set_bias(0, bias)
    network.save(tmp_path / f"by_hand{suffix}")  # float, with the quantized weights
    means = answers(tmp_path / f"by_hand{suffix}", pixels).mean(0) - answers(core, pixels).mean(0)
    assert np.abs(means).max() < 1e-3


@WEIGHTS
def test_corrected_cores_get_the_same_weights(tmp_path: Path, suffix: str, scheme: str) -> None:
    pixels = images(8)
    core = deep(tmp_path / f"core{suffix}")
    plain = quantized(core, Plan(scheme), pixels)
    corrected = tmp_path / f"corrected{suffix}"
    correct_bias(core, plain, corrected, pixels, LAYOUTS[suffix])
    again = quantized(corrected, Plan(scheme), pixels)
    first, second = (open_network(core).quantized_weights(path) for path in (plain, again))
    assert list(first) == list(second)
    assert all(np.array_equal(first[place], second[place]) for place in first)


@pytest.mark.parametrize("suffix", LAYOUTS)
def test_layers_in_float_are_left_alone(tmp_path: Path, suffix: str) -> None:
    pixels = images(8)
    core = deep(tmp_path / f"core{suffix}")
    names = [operator.output for operator in open_network(core).operators if operator.kind == "weighted"]
    made = quantized(core, Plan("int8", keep_float=(names[1],)), pixels)
    corrected = tmp_path / f"corrected{suffix}"
    result = correct_bias(core, made, corrected, pixels, LAYOUTS[suffix])
    assert [name for name, _ in result.layers] == [names[0], *names[2:]]


@pytest.mark.parametrize("suffix", LAYOUTS)
def test_nothing_quantized_nothing_corrected(tmp_path: Path, suffix: str) -> None:
    core = deep(tmp_path / f"core{suffix}")
    result = correct_bias(core, core, tmp_path / f"corrected{suffix}", images(2), LAYOUTS[suffix])
    assert result.layers == ()
    assert np.array_equal(answers(tmp_path / f"corrected{suffix}", images(2)), answers(core, images(2)))
