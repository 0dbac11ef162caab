"""Cross-layer equalization: what answers the same in float, and survives int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.quantize.equalize import equalize
from edgekit.quantize.equalize.links import find_links, offset_by_channel
from edgekit.quantize.estimators import estimate
from edgekit.quantize.litert_adapter import quantize as quantize_tflite
from edgekit.quantize.network import open_network
from edgekit.quantize.observe import observe
from edgekit.quantize.onnx_adapter import quantize as quantize_onnx
from edgekit.quantize.plan import Plan
from tests.quantize.sketches import LAYOUTS, Sketch, answers, images, noise

FORMATS = pytest.mark.parametrize("suffix", LAYOUTS)


def chain() -> Sketch:
    """Convolution, depthwise, convolution, dense, with what scaling commutes with in between."""
    net = Sketch()
    net.conv("first", "image", 8, "relu")
    net.conv("deep", "first", 8, "relu", groups=8)
    net.one("pool", "pooled", "deep")
    net.conv("third", "pooled", 8, "relu")
    net.one("mean", "mean", "third")
    net.dense("scores", "mean", 4)
    return net


def branchy() -> Sketch:
    """Skip connection, two readers, shared weights, concatenation, and a function that is not homogeneous."""
    net = Sketch()
    net.conv("stem", "image", 8, "relu")
    net.conv("left", "stem", 8, "relu")
    net.one("add", "sum", "stem", "left")
    net.conv("once", "sum", 8, "relu", weights="shared")
    net.conv("twice", "once", 8, "relu", weights="shared")
    net.conv("near", "twice", 4, "relu")
    net.conv("far", "twice", 4, "relu")
    net.one("concat", "both", "near", "far")
    net.conv("bent", "both", 8)
    net.one("sigmoid", "gate", "bent")
    net.conv("last", "gate", 4)
    net.one("mean", "scores", "last")
    return net


def winding() -> Sketch:
    """Strides, dilation, groups, padding, leaky ReLU, constants added and multiplied, flattened maps."""
    net = Sketch()
    net.conv("strided", "image", 8, stride=2)
    net.one("leaky", "leaking", "strided")
    net.one("scale", "scaled", "leaking")
    net.one("shift", "shifted", "scaled")
    net.one("relu", "rectified", "shifted")
    net.one("pad", "padded", "rectified")
    net.conv("grouped", "padded", 8, "relu", groups=2)
    net.conv("dilated", "grouped", 6, "relu", dilation=2)
    net.one("flatten", "flat", "dilated")
    net.dense("hidden", "flat", 10, "relu")
    net.dense("scores", "hidden", 4)
    return net


def harden(core: Path, spread: int = 6) -> None:
    """Scale the channels of all links by powers of two, and undo it behind them: float answers stay the same."""
    network, rng = open_network(core), np.random.default_rng(0)
    for link in find_links(network)[0]:
        scales = np.exp2(rng.integers(-spread, spread + 1, link.count)).astype(np.float32)
        first, second = network.weights(link.first), network.weights(link.second)
        network.set_weights(link.first, first * scales.reshape(-1, *(1,) * (first.ndim - 1)))
        bias = network.bias(link.first)
        assert bias is not None
        network.set_bias(link.first, bias * scales)
        for place, numbers in link.shifts:
            found = offset_by_channel(network.offset(place), numbers)
            assert found is not None
            network.set_offset(place, found[0] * scales[found[1]])
        groups, width = network.operators[link.second].groups, second.shape[1]
        undone = second.copy()
        for output, kernels in enumerate(undone):
            read = output * groups // len(second) * width + np.arange(width)
            kernels /= scales[link.channels[read]].reshape(-1, *(1,) * (kernels.ndim - 1))
        network.set_weights(link.second, undone)
    network.save(core)


def int8(core: Path, pixels: NDArray[np.uint8]) -> Path:
    """The core in int8, with float32 in and out."""
    target = core.with_name(f"{core.stem}.int8{core.suffix}")
    estimated = estimate(observe(core, pixels, LAYOUTS[core.suffix], histograms=False), "minmax", 8)
    ranges = {name: list(limits) for name, limits in estimated.items()}
    if core.suffix == ".tflite":
        quantize_tflite(str(core), str(target), Plan("int8").to_json(), ranges, "float32", False)
    else:
        quantize_onnx(str(core), str(target), Plan("int8").to_json(), ranges)
    return target


@FORMATS
def test_what_is_broken_by_scales_is_mended_and_float_is_the_same_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    pixels = images(24)
    core = chain().write(tmp_path / f"core{suffix}")
    plain = answers(core, pixels)
    harden(core)
    reference = answers(core, pixels)
    assert np.array_equal(plain, reference)

    result = equalize(core, tmp_path / f"even{suffix}", pixels, LAYOUTS[suffix])

    assert [(pair.first.removesuffix("_before"), pair.channels) for pair in result.pairs] == [
        ("first", 8), ("deep", 8), ("third", 8)
    ]  # fmt: skip
    assert result.max_difference == 0
    assert result.agreement == 1
    assert np.array_equal(answers(tmp_path / f"even{suffix}", pixels), reference)
    assert noise(reference, answers(int8(core, pixels), pixels)) < 10
    assert noise(reference, answers(int8(tmp_path / f"even{suffix}", pixels), pixels)) > 25


@FORMATS
def test_spreads_are_told_before_and_after(tmp_path: Path, suffix: str) -> None:
    core = chain().write(tmp_path / f"core{suffix}")
    harden(core)
    result = equalize(core, tmp_path / f"even{suffix}", images(8), LAYOUTS[suffix])
    for pair in result.pairs:
        assert pair.activations[0] > 8
        assert pair.activations[1] < 4
    assert result.pairs[0].activations[1] < 2  # read by a depthwise layer, the activation has all the say
    assert all(pair.weights[1] < pair.weights[0] and 0 < pair.scaled <= 8 for pair in result.pairs)


@FORMATS
def test_scales_cross_all_that_they_commute_with(tmp_path: Path, suffix: str) -> None:
    pixels = images(12)
    core = winding().write(tmp_path / f"core{suffix}")
    harden(core)
    result = equalize(core, tmp_path / f"even{suffix}", pixels, LAYOUTS[suffix])
    assert [pair.second.removesuffix("_before") for pair in result.pairs] == ["grouped", "dilated", "hidden", "scores"]
    assert result.max_difference == 0
    assert np.array_equal(answers(core, pixels), answers(tmp_path / f"even{suffix}", pixels))
    assert all(pair.activations[1] < pair.activations[0] for pair in result.pairs)


@FORMATS
def test_layers_that_share_more_than_a_scale_are_left_alone_with_the_reason(tmp_path: Path, suffix: str) -> None:
    core = branchy().write(tmp_path / f"core{suffix}")
    result = equalize(core, tmp_path / f"even{suffix}", images(6), LAYOUTS[suffix])
    reasons = {name.removesuffix("_before"): reason.upper() for name, reason in result.left_alone}
    assert result.pairs == ()
    assert reasons == {
        "stem": "ITS OUTPUT IS READ BY 2 OPERATORS",
        "left": "ADD READS IT",
        "once": "IT SHARES ITS WEIGHTS",
        "twice": "IT SHARES ITS WEIGHTS",
        "near": reasons["far"],
        "far": {".tflite": "CONCATENATION READS IT", ".onnx": "CONCAT READS IT"}[suffix],
        "bent": {".tflite": "LOGISTIC READS IT", ".onnx": "SIGMOID READS IT"}[suffix],
        "last": "IT MAKES THE OUTPUT",
    }
    assert np.array_equal(answers(core, images(6)), answers(tmp_path / f"even{suffix}", images(6)))


def clipped(suffix: str, folder: Path, gains: NDArray[np.float32]) -> Path:
    """Three channels, those of the image times their gain / 255, clipped at 6 on their way to a dense layer."""
    net = Sketch()
    net.conv("first", "image", 3, "relu6", size=1)
    net.one("mean", "mean", "first")
    net.dense("scores", "mean", 4)
    core = net.write(folder / f"clipped{suffix}")
    network = open_network(core)
    [link] = find_links(network)[0]
    network.set_weights(link.first, (np.diag(gains) / 255).reshape(3, 3, 1, 1).astype(np.float32))
    network.set_bias(link.first, np.zeros(3, np.float32))
    network.save(core)
    return core


def clips(path: Path) -> list[str]:
    """The types of the operators that clip."""
    return [operator.type for operator in open_network(path).operators if operator.activation == "clip"]


@FORMATS
def test_a_clip_that_no_image_reaches_is_raised(tmp_path: Path, suffix: str) -> None:
    core = clipped(suffix, tmp_path, np.array([0.05, 1, 5.5], np.float32))
    result = equalize(core, tmp_path / f"even{suffix}", images(8), LAYOUTS[suffix])
    assert [pair.clip for pair in result.pairs] == ["raised"]
    assert result.max_difference == 0
    assert clips(core)
    assert not clips(tmp_path / f"even{suffix}")


@FORMATS
def test_channels_that_reach_a_clip_keep_it_and_the_others_stay_below(tmp_path: Path, suffix: str) -> None:
    core = clipped(suffix, tmp_path, np.array([0.05, 1, 12], np.float32))
    result = equalize(core, tmp_path / f"even{suffix}", images(8), LAYOUTS[suffix])
    assert [(pair.clip, pair.scaled) for pair in result.pairs] == [("kept", 2)]
    assert result.max_difference == 0
    assert clips(tmp_path / f"even{suffix}") == clips(core)
    before, after = (open_network(path).weights(_first(path)) for path in (core, tmp_path / f"even{suffix}"))
    assert np.array_equal(before[2], after[2])
    assert 0.05 * 255 < 255 * after[0].max() * 255 <= 6 / 2 * 255 * 2**0.5


@FORMATS
def test_a_pair_that_only_unseen_images_clip_is_left_alone(tmp_path: Path, suffix: str) -> None:
    core = clipped(suffix, tmp_path, np.array([0.05, 1, 12], np.float32))
    pixels = images(8) // 4
    pixels[3] = images(1)  # of the images that only verify
    result = equalize(core, tmp_path / f"even{suffix}", pixels, LAYOUTS[suffix])
    assert result.pairs == ()
    assert "reach the clip" in dict(result.left_alone)[open_network(core).operators[_first(core)].output]
    assert result.max_difference == 0
    assert clips(tmp_path / f"even{suffix}") == clips(core)


def _first(path: Path) -> int:
    return next(place for place, operator in enumerate(open_network(path).operators) if operator.kind == "weighted")


@FORMATS
def test_channels_without_weights_or_values_do_no_harm(tmp_path: Path, suffix: str) -> None:
    core = chain().write(tmp_path / f"core{suffix}")
    network = open_network(core)
    for link in find_links(network)[0]:
        weights = network.weights(link.first).copy()
        weights[:2] = 0
        network.set_weights(link.first, weights)
        network.set_bias(link.first, np.where(np.arange(len(weights)) < 1, -1, 0.5).astype(np.float32))
    network.save(core)
    result = equalize(core, tmp_path / f"even{suffix}", images(6), LAYOUTS[suffix])
    assert result.max_difference == 0
    assert np.isfinite(answers(tmp_path / f"even{suffix}", images(6))).all()


@FORMATS
def test_an_even_network_stays_as_it_is(tmp_path: Path, suffix: str) -> None:
    core = chain().write(tmp_path / f"core{suffix}")
    once, twice = tmp_path / f"once{suffix}", tmp_path / f"twice{suffix}"
    harden(core)
    equalize(core, once, images(8), LAYOUTS[suffix])
    result = equalize(once, twice, images(8), LAYOUTS[suffix])
    assert result.pairs == ()
    assert {reason for _, reason in result.left_alone} == {
        "its channels use their ranges evenly",
        "it makes the output",
    }
