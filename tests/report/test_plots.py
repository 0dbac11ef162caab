"""Plots put each figure where its axes say, and stay small whatever they are given."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from edgekit.core.calibration import Bin, Reliability
from edgekit.report.plots import (
    BAR,
    LEFT,
    MOST_POINTS,
    SIDE,
    TOP,
    recall_bars,
    reliability_diagram,
    score_scatter,
    selection_curves,
)

SVG = "{http://www.w3.org/2000/svg}"


def dots(drawing: str, kind: str) -> list[tuple[float, float, float]]:
    """x and y as shares of the square, and the radius, of the circles of a kind."""
    return [
        ((float(dot.get("cx", "")) - LEFT) / SIDE, 1 - (float(dot.get("cy", "")) - TOP) / SIDE, float(dot.get("r", "")))
        for dot in ElementTree.fromstring(drawing).iter(f"{SVG}circle")
        if dot.get("class") == kind
    ]


def test_reliability() -> None:
    one = Reliability((Bin(0.5, 0.6, 40, 0.55, 0.25), Bin(0.9, 1.0, 9, 0.95, 1.0)), 0.254)
    drawing = reliability_diagram({"reference": one, "candidate": Reliability((Bin(0.9, 1.0, 10, 1.0, 0.5),), 0.5)})
    assert dots(drawing, "dot first")[:1] == [pytest.approx((0.55, 0.25, 4), abs=1e-3)]
    assert dots(drawing, "dot first")[1] == pytest.approx((0.95, 1, 2), abs=1e-3)  # of few images: small
    assert dots(drawing, "dot second")[0] == pytest.approx((1, 0.5, 3), abs=1e-3)  # a line of one point
    root = ElementTree.fromstring(drawing)
    assert root.get("aria-label", "").endswith("calibration error: reference 25.4%, candidate 50.0%")
    assert {"reference", "candidate", "best score", "right"} <= {text.text for text in root.iter(f"{SVG}text")}


def test_scatter() -> None:
    reference = np.array([0.5, 0.5, 1.0], np.float32)
    candidate = np.array([0.25, 0.25, 0.0], np.float32)
    root = ElementTree.fromstring(score_scatter(reference, candidate, np.array([True, True, False])))
    cloud, crosses = (path.get("d") for path in root.iter(f"{SVG}path"))
    assert cloud == f"M{LEFT + SIDE // 2} {TOP + 3 * SIDE // 4}h0"  # images in one place are one point
    assert crosses == f"M{LEFT + SIDE - 3} {TOP + SIDE - 3}l6 6m0-6l-6 6"
    assert root.get("aria-label", "").endswith("3 images, 1 disagreement")


def test_a_scatter_of_many_images_is_small() -> None:
    scores = np.random.default_rng(0).random((2, 100_000), np.float32)
    drawing = score_scatter(scores[0], scores[1], scores[0] > 0.5)
    assert 1000 < len(re.findall("h0", drawing)) <= MOST_POINTS
    assert 1000 < len(re.findall("l6 6", drawing)) <= MOST_POINTS
    assert len(drawing) < 200_000


def test_selection() -> None:
    tried = [
        {"regularisation": value, "loss": loss, "accuracy": 0.9 - loss, "chosen": loss == 0.1}
        for value, loss in ((1.0, 0.2), (0.01, 0.3), (0.1, 0.1))
    ]
    for drawing, ringed in zip(selection_curves(tried), (0.0, 1.0), strict=True):
        root = ElementTree.fromstring(drawing)
        texts = [text.text for text in root.iter(f"{SVG}text")]
        assert [text for text in texts if text in ("0.01", "0.1", "1")] == ["0.01", "0.1", "1"]
        [ring] = [dot for dot in root.iter(f"{SVG}circle") if dot.get("class") == "ring first"]
        assert float(ring.get("cx", "")) == LEFT + 8 + SIDE / 2
        assert float(ring.get("cy", "")) == TOP + 160 * (1 - ringed)
        assert len([dot for dot in root.iter(f"{SVG}circle") if dot.get("class") == "dot second"]) == 3


def test_a_selection_of_one() -> None:
    for drawing in selection_curves([{"regularisation": 1.0, "loss": 0.5, "accuracy": 0.5, "chosen": True}]):
        assert "nan" not in drawing
        assert len(dots(drawing, "ring first")) == 1


def test_recall_bars() -> None:
    root = ElementTree.fromstring(recall_bars(1.0, 0.25))
    bars = {bar.get("class"): float(bar.get("width", "")) for bar in root.iter(f"{SVG}rect")}
    assert bars == {"bar first": BAR, "bar second": BAR / 4}
    assert root.get("aria-label") == "recall 100.0% and 25.0%"
