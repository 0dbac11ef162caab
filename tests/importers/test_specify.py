"""What is told, what a file carried and what it says become a spec, or a question that names what is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.core import versions
from edgekit.core.errors import EdgekitError, ImportRefused
from edgekit.importers.facts import Facts
from edgekit.importers.options import SpecOptions
from edgekit.importers.specify import specify
from edgekit.runtime.spec import Crop, Provenance, Quantization, ScoreCalibration
from tests import models

SILENT = Facts("input_1", 8, 8, 3, "NHWC", "float32", None, "probs", "float32", None, 3, None)
NORMALISES = {"exact": True, "mean": (0.0,) * 3, "std": (1.0,) * 3}
TOLD = SpecOptions("red,green,blue", None, "bilinear", "center:0.875", None, "127.5", "127.5", "softmax")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return models.tflite(tmp_path / "m.tflite")


def facts(**changes: Any) -> Facts:
    return dataclasses.replace(SILENT, **changes)


def told(**changes: Any) -> SpecOptions:
    return dataclasses.replace(TOLD, **changes)


def test_everything_is_told(source: Path) -> None:
    spec, derived = specify(source, SILENT, TOLD, None)
    assert (spec.input.name, spec.output.name, spec.size) == ("input_1", "probs", (8, 8))
    assert spec.labels == ("red", "green", "blue")
    assert (spec.preprocess.resize, spec.preprocess.crop) == ("bilinear", Crop("center", 0.875))
    assert (spec.preprocess.mean, spec.preprocess.std) == ((127.5,) * 3, (127.5,) * 3)
    assert (spec.output.activation, spec.preprocess.channel_order, spec.scheme) == ("softmax", "RGB", "none")
    assert (spec.provenance.source, spec.provenance.steps) == ("m.tflite", ("import",))
    assert derived == ("its channel order is taken to be RGB (else say --channel-order BGR, as for OpenCV images)",)
    assert specify(source, SILENT, told(channel_order="BGR"), None)[1] == ()


@pytest.mark.parametrize(
    ("write", "used"),
    [
        (models.tflite, ()),
        (models.onnx, ()),
        (models.keras, ("tensorflow", "tensorflow-cpu", "keras")),
    ],
)
def test_the_tools_that_were_used(tmp_path: Path, write: Callable[[Path], Path], used: tuple[str, ...]) -> None:
    spec, _ = specify(write(tmp_path / "model"), SILENT, TOLD, None)
    assert spec.provenance.tools == versions.of(*used)


def test_what_nobody_says_is_asked_for_by_name(source: Path) -> None:
    with pytest.raises(ImportRefused) as raised:
        specify(source, facts(height=None, width=None), SpecOptions(), None)
    assert raised.value.message == (
        "m.tflite does not say the labels (--labels), the size of its input (--input-size), how its training resized "
        "images (--resize), what of an image its training saw (--crop), the mean that its training subtracted "
        "(--mean), what its training divided by (--std), what its output is (--output-activation); "
        "a guess would give wrong answers."
    )
    assert raised.value.hint == (
        "Add, for example: --labels labels.txt --input-size 224 --resize bilinear --crop center:0.875 --mean 127.5 "
        "--std 127.5 --output-activation softmax"
    )


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("labels", "--labels"),
        ("resize", "--resize"),
        ("crop", "--crop"),
        ("mean", "--mean"),
        ("std", "--std"),
        ("output_activation", "--output-activation"),
    ],
)
def test_a_single_thing_that_is_missing(source: Path, option: str, name: str) -> None:
    with pytest.raises(ImportRefused) as raised:
        specify(source, SILENT, told(**{option: None}), None)
    assert raised.value.message.count("--") == 1
    assert name in raised.value.message
    assert raised.value.hint.startswith(f"Add, for example: {name} ")


def test_what_the_file_says_need_not_be_told(source: Path) -> None:
    said = facts(activation="softmax", labels=("a", "b", "c"), mean=(127.5,) * 3, std=(64.0, 32.0, 16.0))
    spec, derived = specify(source, said, SpecOptions(resize="nearest", crop="none"), None)
    assert (spec.labels, spec.preprocess.std, spec.output.activation) == (("a", "b", "c"), (64, 32, 16), "softmax")
    assert derived[:3] == ("3 labels", "its input is normalised by mean 127.5, std 64,32,16", "its output is softmax")


def test_what_is_told_goes_before_what_the_file_says(source: Path) -> None:
    """Labels and figures that somebody wrote beside the graph, and an activation that its last operator suggests."""
    said = facts(activation="logits", labels=("a", "b", "c"), mean=(0.0,) * 3, std=(1.0,) * 3)
    spec, _ = specify(source, said, told(), None)
    assert spec.labels == ("red", "green", "blue")
    assert (spec.preprocess.mean, spec.output.activation) == ((127.5,) * 3, "softmax")


@pytest.mark.parametrize(
    ("said", "options", "message"),
    [
        (NORMALISES, {}, r"itself: with --mean 127\.5 it would be done twice"),
        (NORMALISES, {"mean": "0"}, r"itself: with --std 127\.5 it would be done twice"),
        ({"activation": "softmax"}, {"output_activation": "logits"}, "gives the result of a softmax, not logits"),
        ({"activation": "sigmoid"}, {}, "gives the result of a sigmoid, not the result of a softmax"),
        ({"activation": "logits", "exact": True}, {}, "gives logits, not the result of a softmax"),
    ],
)
def test_what_the_layers_say_cannot_be_told_otherwise(
    source: Path, said: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ImportRefused, match=message) as raised:
        specify(source, facts(**said), told(**options), None)
    assert raised.value.hint.startswith("Leave out --")


def test_what_the_layers_say_may_be_repeated(source: Path) -> None:
    said = facts(activation="softmax", exact=True, mean=(0.0,) * 3, std=(1.0,) * 3)
    spec, _ = specify(source, said, told(mean="0", std="1"), None)
    assert (spec.preprocess.std, spec.output.activation) == ((1.0,) * 3, "softmax")


def test_pixels_as_they_are(source: Path) -> None:
    byte = facts(dtype="uint8", quantization=Quantization(1 / 128, 128), mean=(128.0,) * 3, std=(128.0,) * 3)
    spec, derived = specify(source, byte, told(mean=None, std=None), None)
    assert "its input takes pixels as they are" in derived
    assert spec.scheme == "unknown"
    assert spec.input.quantization == Quantization(1 / 128, 128)


def test_the_scheme_of_quantized_weights_is_not_known(source: Path) -> None:
    assert specify(source, facts(quantized=True), TOLD, None)[0].scheme == "unknown"


def test_the_size(source: Path) -> None:
    assert specify(source, facts(height=None, width=None), told(input_size="240x320"), None)[0].size == (240, 320)
    assert specify(source, facts(height=None, width=320), told(input_size="240x320"), None)[0].size == (240, 320)
    assert specify(source, SILENT, told(input_size="8"), None)[0].size == (8, 8)
    with pytest.raises(ImportRefused, match=r"m\.tflite takes images of 8x8 \(height x width\), not 16x16"):
        specify(source, SILENT, told(input_size="16"), None)
    with pytest.raises(ImportRefused, match="the size of its input"):
        specify(source, facts(height=None), TOLD, None)


@pytest.mark.parametrize(
    ("scores", "labels", "message", "hint"),
    [
        (3, "a,b", "has 3 outputs, and there are 2 labels", "One is missing"),
        (3, "a,b,c,d,e", "has 3 outputs, and there are 5 labels", "exactly one label"),
        (1, "a,b,c", "has one output, which needs two labels, and there are 3", "exactly one label"),
    ],
)
def test_the_number_of_labels(source: Path, scores: int, labels: str, message: str, hint: str) -> None:
    with pytest.raises(ImportRefused) as raised:
        specify(source, facts(scores=scores), told(labels=labels), None)
    assert message in raised.value.message
    assert hint in raised.value.hint


def test_one_score_for_two_labels(source: Path) -> None:
    spec, _ = specify(source, facts(scores=1), told(labels="no,yes", output_activation="sigmoid"), None)
    assert spec.labels == ("no", "yes")


def test_gray(source: Path) -> None:
    spec, derived = specify(source, facts(channels=1), TOLD, None)
    assert (spec.preprocess.channel_order, spec.preprocess.mean) == ("gray", (127.5,))
    assert derived == ()
    with pytest.raises(ImportRefused, match="takes gray images: --channel-order does not apply"):
        specify(source, facts(channels=1), told(channel_order="BGR"), None)


def test_figures_for_pixels_of_0_to_1(source: Path) -> None:
    with pytest.raises(EdgekitError, match=r"--std 0\.229,0\.224,0\.225 is for pixels of 0 to 1") as raised:
        specify(source, SILENT, told(mean="0.485,0.456,0.406", std="0.229,0.224,0.225"), None)
    assert raised.value.hint == "Multiply mean and std by 255: --std 58.395,57.12,57.375"
    specify(source, SILENT, told(mean="0", std="1"), None)


def test_a_spec_that_was_carried_is_kept_but_for_what_is_told(source: Path) -> None:
    old = models.spec()
    carried = dataclasses.replace(
        old,
        preprocess=dataclasses.replace(old.preprocess, orientation="ignore", crop=Crop("pad", fill=(9, 9, 9))),
        output=dataclasses.replace(old.output, calibration=ScoreCalibration(1.5, 0.6)),
        scheme="dynamic",
        provenance=Provenance("cats.keras", "abc", ("train --seed 0", "convert")),
    )
    spec, derived = specify(source, SILENT, SpecOptions(labels="rot,grün,blau"), carried)
    assert spec.labels == ("rot", "grün", "blau")
    assert (spec.preprocess, spec.output.calibration) == (carried.preprocess, carried.output.calibration)
    assert (spec.scheme, spec.provenance.source) == ("dynamic", "cats.keras")
    assert spec.provenance.steps == ("train --seed 0", "convert", "import")
    assert spec.verdict is None
    assert derived == ()
