"""What findings do to ranges, in words."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgekit.quantize.evidence import effects, ranges
from edgekit.quantize.evidence.finding import NOTE, REFUSAL, WARNING, Finding, listed
from edgekit.quantize.evidence.ranges import Extremes
from tests.quantize.evidence.test_ranges import extremes, stretched

NAMES = [f"{number}.jpg" for number in range(60)]


def effect(finding: Finding, made: Extremes, truth: np.ndarray | None = None) -> Finding:
    patterns = Extremes(made.names, made.low[:3] / 2, made.high[:3] / 2)
    [found] = effects.with_effects([finding], made, patterns, truth)
    return found


def test_images_that_are_named_are_left_out_to_see() -> None:
    made = stretched({(7, 2): 60.0})
    found = effect(Finding("single colours", WARNING, "…", positions=(7, 8)), made)
    assert found.layers[0].tensor == "layer2"
    assert found.effect.startswith("Without them ranges are ")
    assert f"layer2 spans {found.layers[0].without[0]:.3g} to " in found.effect
    inside = Finding("copies", WARNING, "…", positions=(int(made.high.max(1).argmin()),))
    assert effect(inside, extremes(60)).effect == "The ranges are the same without them."


def test_whole_sets_are_put_beside_the_patterns() -> None:
    made = dataclasses.replace(extremes(30), high=np.full((30, 6), 4.0), low=np.zeros((30, 6)))
    assert effect(Finding("range", REFUSAL, "…"), made).effect.startswith(
        "Ranges are 2.00 times as wide as those of the"
    )
    assert effect(Finding("answers", WARNING, "…"), made).effect == ""
    assert effect(Finding("feeding", WARNING, "…", effect="measured"), made).effect == "measured"


def test_what_a_class_can_do() -> None:
    made = extremes(60)
    made.high[:20, 3] *= 3
    found = effect(Finding("classes", WARNING, "…"), made, np.repeat([0, 1, 2], 20))
    assert found.effect.startswith("What a class can do: without one of those that are there, a range is up to ")
    assert found.effect.endswith("narrower (layer3).")
    assert effect(Finding("classes", WARNING, "…"), made, np.zeros(60, int)).effect == ""


def test_outliers_by_image_and_layer() -> None:
    made = stretched({(7, 2): 60.0})
    made = dataclasses.replace(made, names=("a", "b", "model/conv2/Relu;model/conv2/BiasAdd\x1b[2J", "d", "e", "f"))
    [found] = effects.outlier_findings(made, NAMES)
    assert (found.images, found.positions) == (("7.jpg",), (7,))
    assert found.what == "7.jpg stretches the range of model/conv2/Relu."
    widening = found.layers[0].widening
    assert f"steps are {widening:.1f} times as coarse ({np.log2(widening):.1f} bits lost)." in found.effect
    [both] = effects.outlier_findings(stretched({(7, 2): 60.0, (9, 2): 60.0, (7, 4): 60.0, (9, 4): 60.0}), NAMES)
    assert both.what == "7.jpg and 9.jpg stretch the range of layer2 and 1 more."


def test_settling() -> None:
    assert effects.settling_finding(ranges.settling(extremes(200))) is None
    few = effects.settling_finding(ranges.settling(extremes(4)))
    assert few is not None
    assert (few.level, few.what) == (WARNING, "The ranges have not settled with 4 different images.")
    some = effects.settling_finding(ranges.settling(extremes(30, 40)))
    assert some is not None
    assert some.level == NOTE
    assert some.effect.startswith("With 25 of them, ")


def test_lists_of_names() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c", "d"]) == "a, b, c and d"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
