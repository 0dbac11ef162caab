"""The drift by layers on the page: what was measured, of hostile names too, and never too long."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from edgekit.report import layers as shown
from edgekit.report.page import page, section
from edgekit.report.validation import validation_page
from edgekit.validate.layer_drift import ActivationRanges, Drift, Layer, NoiseParts
from edgekit.validate.run import validate
from tests.report.parsed import Page

HOSTILE = "<script>alert(1)</script>\u202e"
RANGES = ActivationRanges(-1.0, 40.0, -0.5, 3.0, 0.0, 10.0, 10 / 255, 0.0123, 1.0, 0.3, 16, 400.0, 6)


def layer(name: str, sqnr: float | None, own: float | None, bad: bool = False) -> Layer:
    noise = None if own is None else NoiseParts(0.7, 0.2, 0.1, 0.0)
    return Layer(name, name, "CONV_2D", "", (), sqnr, own, 0.99, 1.25, 0.03, None, RANGES, noise, bad,
                 ("clipped: <b>",) if bad else ())  # fmt: skip


def drift(*layers: Layer) -> Drift:
    bad = [place for place, each in enumerate(layers) if each.bad]
    noisy = [(each.own_sqnr_db, place) for place, each in enumerate(layers) if each.own_sqnr_db is not None]
    return Drift(64, layers, bad[0] if bad else None, min(noisy)[1] if noisy else None, 3, 0)


BAD = drift(layer("a", None, None), layer(HOSTILE, 12.0, 8.5, bad=True), layer("c", 10.0, 40.0), layer("c", 9.0, 130.0))


def checked(found: Drift) -> Page:
    made = Page(page("Layers", section("candidate.tflite", *shown.drift_part(found, Path("candidate.tflite")))))
    made.check_closed()
    made.check_accessible()
    return made


def test_the_table() -> None:
    head, *rows = checked(BAD).table("Drift of candidate.tflite by layer")
    assert head == ["layer", "type", "SQNR dB", "own SQNR dB", "cosine", "max diff", "of range", "note"]
    assert [row[0] for row in rows] == ["a", HOSTILE.replace("\u202e", "\ufffd"), "c (CONV_2D)", "c (CONV_2D)"]
    assert [row[2:4] for row in rows] == [["exact", "exact"], ["12.0", "8.5"], ["10.0", "40.0"], ["9.0", "130.0"]]
    assert [row[-1] for row in rows] == ["", "first bad", "", ""]


def test_the_first_bad_layer() -> None:
    text = checked(BAD).all("body")[0].text
    assert "the noise that it adds is at 8.5 dB, below 25" in text
    assert "4 layers compared on 64 images; 3 more of the reference have no counterpart" in text
    assert "0 to 10 in steps of 0.0392; 1.23% of the values are cut off" in text
    assert "70% clipping" in text
    assert "clipped: <b>" in text


def test_no_bad_layer() -> None:
    found = drift(layer("a", 40.0, 41.0), layer("b", 30.0, 31.0), layer("c", 29.0, 33.0), layer("d", 28.0, 50.0))
    assert shown.summary(found) == (
        "No layer is bad: the least own SQNR is 31.0 dB. The drift at the end, 28.0 dB, has come together over "
        "4 layers; most add: b 31.0, c 33.0, a 41.0 dB."
    )
    assert "The layer that adds most noise: b" in checked(found).all("body")[0].text


def test_nothing_but_exact_layers() -> None:
    found = drift(layer("a", None, None))
    assert shown.summary(found) == "No layer adds any noise: both models compute the same."
    assert checked(found).table("Drift of candidate.tflite by layer")[1][2] == "exact"


def test_the_plot() -> None:
    root = ElementTree.fromstring(shown.drift_plot(BAD))
    svg = "{http://www.w3.org/2000/svg}"
    ring, _ = [dot for dot in root.iter(f"{svg}circle") if dot.get("class") == "ring first"]
    own = [dot for dot in root.iter(f"{svg}circle") if dot.get("class") == "dot second"]
    assert (ring.get("cx"), ring.get("cy")) == (own[1].get("cx"), own[1].get("cy"))
    heights = [float(dot.get("cy", "")) for dot in own]
    assert heights[0] == heights[3] < heights[2] < heights[1]  # exact and 130 dB lie on the upper edge
    assert "the first bad layer is" in root.get("aria-label", "")
    assert "<script" not in shown.drift_plot(BAD)


@pytest.mark.parametrize("count", [1, 3000])
def test_any_number_of_layers(count: int) -> None:
    found = drift(*(layer(f"layer{place}", 30.0, 30.0 + place % 7) for place in range(count)))
    made = checked(found)
    rows = made.table("Drift of candidate.tflite by layer")[1:]
    assert len(rows) == min(count, shown.MOST_LAYERS)
    assert "nan" not in shown.drift_plot(found)
    if count > shown.MOST_LAYERS:
        assert f"the {shown.MOST_LAYERS} of {count} that add most noise" in made.all("body")[0].text
        assert {row[3] for row in rows} == {"30.0"}


def test_the_page_of_a_validation(float_tflite: Path, int8_tflite: Path, many: Path) -> None:
    found = validate(float_tflite, [int8_tflite], many, layers=True)
    made = Page(validation_page(found))
    made.check_closed()
    made.check_accessible()
    rows = made.table("Drift of int8.tflite by layer")[1:]
    assert [row[0] for row in rows][2:6] == ["stem", "depthwise", "pointwise", "pool"]
    bare = dataclasses.replace(found, candidates=(dataclasses.replace(found.candidates[0], drift=None),))
    assert not re.search("Layer by layer", validation_page(bare))
