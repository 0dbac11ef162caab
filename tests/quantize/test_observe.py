"""What activations do, against the interpreter's own tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.core.errors import ModelFileError
from edgekit.quantize.observe import BINS, Statistics, observe
from edgekit.quantize.taps import open_taps
from tests import models
from tests.keras_models import images
from tests.session_models import write_nchw_onnx

PIXELS = images(11, 3, models.SIDE, models.SIDE)[0]


def same(one: Statistics, other: Statistics) -> bool:
    return list(one.tensors) == list(other.tensors) and all(
        np.array_equal(first.minima, second.minima)
        and np.array_equal(first.maxima, second.maxima)
        and np.array_equal(first.means, second.means)
        and np.array_equal(first.counts, second.counts)  # type: ignore[arg-type]  # None equals None
        for first, second in zip(one.tensors.values(), other.tensors.values(), strict=True)
    )


def test_ranges_means_and_histograms_are_those_of_the_activations(tmp_path: Path) -> None:
    core = models.tflite(tmp_path / "core.tflite")
    seen = observe(core, PIXELS, "NHWC").tensors
    assert list(seen) == ["means", "logits", "scores"]
    means = PIXELS.astype(np.float64).mean((1, 2))
    values = {"means": means, "logits": means @ models.WEIGHTS.T}
    for name, expected in values.items():
        one = seen[name]
        assert one.minima == pytest.approx(expected.min(1), rel=1e-5)
        assert one.maxima == pytest.approx(expected.max(1), rel=1e-5)
        assert one.means == pytest.approx(expected.mean(0), rel=1e-5)
        assert (one.low, one.high) == pytest.approx((expected.min(), expected.max()), rel=1e-5)
        assert one.counts is not None
        assert one.counts.sum() == expected.size
        nearest = one.values[np.repeat(np.arange(BINS), one.counts)]
        assert np.abs(nearest - np.sort(expected.ravel())).max() < 0.51 * np.ptp(one.values) / (BINS - 1)
        assert (one.values[0], one.values[-1]) == (one.low, one.high)


def test_the_number_of_threads_changes_nothing(tmp_path: Path) -> None:
    core = models.tflite(tmp_path / "core.tflite")
    pixels = images(50, 4, models.SIDE, models.SIDE)[0]
    assert same(observe(core, pixels, "NHWC", 1), observe(core, pixels, "NHWC", 3))


def test_saved_and_loaded(tmp_path: Path) -> None:
    core = models.tflite(tmp_path / "core.tflite")
    for histograms in (True, False):
        statistics = observe(core, PIXELS, "NHWC", histograms=histograms)
        statistics.save(tmp_path / "statistics.npz")
        assert same(Statistics.load(tmp_path / "statistics.npz"), statistics)
        assert (statistics.tensors["logits"].counts is None) is not histograms


def test_channels_of_an_onnx_file_come_second(tmp_path: Path) -> None:
    core = write_nchw_onnx(tmp_path / "core.onnx", models.SIDE, models.SIDE)
    seen = observe(core, PIXELS, "NCHW").tensors
    maps = np.concatenate(
        [open_taps(core).run(image.transpose(2, 0, 1)[None].astype(np.float32))["maps"] for image in PIXELS]
    )
    assert seen["maps"].means == pytest.approx(maps.mean((0, 2, 3)), rel=1e-5)
    assert seen["maps"].maxima == pytest.approx(maps.max((1, 2, 3)), rel=1e-6)


def test_values_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    from onnx import helper

    def damage(model: object) -> None:
        [cast, mean, *rest] = model.graph.node  # type: ignore[attr-defined]
        ratio = helper.make_node("Div", ["pixels", "pixels"], ["ratio"])
        mean.input[0] = "ratio"
        del model.graph.node[:]  # type: ignore[attr-defined]
        model.graph.node.extend([cast, ratio, mean, *rest])  # type: ignore[attr-defined]

    core = models.onnx(tmp_path / "core.onnx", damage=damage)
    black = np.zeros((2, models.SIDE, models.SIDE, 3), np.uint8)
    black[1, 2:, 3:] = 9
    one = observe(core, black, "NHWC").tensors["ratio"]
    assert one.minima.tolist() == [0, 1]
    assert one.maxima.tolist() == [0, 1]
    assert one.counts is not None
    assert one.counts[-1] == one.counts.sum() == 6 * 5 * 3


def test_a_file_without_activations_is_refused(tmp_path: Path) -> None:
    file = models.TFLiteFile()
    image = file.tensor("image", [1, 8, 8, 3])
    shape = file.tensor("shape", [4], "INT32")
    file.operator("SHAPE", [image], [shape], "ShapeOptions", outType=file.schema.TensorType.INT32)
    (tmp_path / "none.tflite").write_bytes(file.content([image], [shape]))
    with pytest.raises(ModelFileError, match="no activations"):
        observe(tmp_path / "none.tflite", PIXELS, "NHWC")
