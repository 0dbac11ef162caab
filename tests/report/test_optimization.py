"""The page of a search says what was chosen, what was tried and why the rest lost, of hostile names too."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgekit.quantize.plan import Plan
from edgekit.report.optimization import optimization_page, write_optimization
from edgekit.validate.gate import Gate
from edgekit.validate.optimized import Optimized, Row, Sensitivity, Step
from edgekit.validate.run import validate
from tests import models
from tests.report.parsed import Page

BAD = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, many: Path) -> Optimized:
    folder = tmp_path_factory.mktemp("optimization")
    reference = models.with_spec(models.tflite(folder / "reference.tflite"))
    best = models.with_spec(models.tflite(folder / "best.tflite"), models.spec(scheme="int8"))
    judged = validate(reference, [best], many)
    plans = [Plan("float16"), Plan("dynamic"), Plan("int8"), Plan("int8", "mse", equalize=True), Plan("weight4")]
    figures = [
        (9_400_000, 15.1, 0.981, 0.0, 1.0), (5_300_000, 21.0, 0.979, 0.2, 0.993), (5_370_000, 6.1, 0.71, 27.1, 0.72),
        (5_370_000, 6.2, 0.977, 0.4, 0.987),
    ]
    rows = [
        Row(plan, plan.name, "ok", "", size, ms, top1, drop, agreement, 0.01, drop < 1, "twice the size" * (drop < 1))
        for plan, (size, ms, top1, drop, agreement) in zip(plans, figures, strict=False)
    ]
    rows[3] = dataclasses.replace(rows[3], lost_because="")
    rows[2] = dataclasses.replace(rows[2], lost_because="it loses 27.1 points, and 1 may be lost")
    rows.append(Row(plans[4], plans[4].name, "crashed", f"its child process died at {BAD} (SIGSEGV)"))
    return Optimized(
        reference, many, best, "android", "size", Gate(max_drop=1.0, max_size_bytes=6_000_000),
        {"calibration": 100, "selection": 150, "final": judged.images}, True, judged.labels, 0.981, 18_300_000,
        tuple(rows), (0, 1, 3), 3,
        (Sensitivity("t", BAD, "DEPTHWISE_CONV_2D", 11.2, 30_000, 1e-6),
         Sensitivity("u", "stem", "CONV_2D", 31.0, 3_000, 1e-8)),
        (Step("Made the float core."), Step("int8 with the minimum and maximum loses 27.1 points.", (2,)),
         Step(f"Equalization brought them back; {BAD} was the worst.", (3,))),
        judged.candidates[0], 0, {}, "2 x86-64 cores", (f"2 copies of {BAD} were left out",), (), judged.evidence,
    )


def checked(found: Optimized) -> Page:
    page = Page(optimization_page(found))
    page.check_closed()
    page.check_accessible()
    return page


def test_the_choice(found: Optimized) -> None:
    page = checked(found)
    [verdict] = page.all("section", "verdict")
    assert verdict.attributes["class"] == "verdict pass"
    assert "int8 mse, equalized" in verdict.text
    assert "Written: best.tflite" in verdict.text
    assert "at most 1 point of top-1 lost, at most 6 MB" in verdict.text
    assert page.all("h1")[0].text == "The best model: int8 mse, equalized"


def test_all_candidates(found: Optimized) -> None:
    head, reference, *rows = checked(found).table("All 5 candidates")
    assert head == ["candidate", "size", "ms", "top-1", "drop in points", "agreement", "outcome"]
    assert reference == ["float source", "18.3 MB", "–", "98.10 %", "", "", ""]
    assert rows[1] == [
        "2 dynamic", "5.3 MB", "21 ms", "97.90 %", "0.20", "99.30 %", "twice the size (on the front)"
    ]
    assert rows[3][-1] == "chosen"
    assert rows[4] == ["5 weight4", "–", "–", "–", "–", "–", f"crashed: its child process died at {BAD} (SIGSEGV)"]


def test_the_plots_mark_the_front(found: Optimized) -> None:
    size, latency = (each for each in checked(found).all("svg") if "on the front" in each.attributes["aria-label"])
    said = size.attributes["aria-label"]
    assert said.endswith("2 at 5.3 MB and 97.9%, 4 at 5.37 MB and 97.7%, 1 at 9.4 MB and 98.1%")
    assert "4 at 6.2 and 97.7%" in latency.attributes["aria-label"]
    assert len(size.all("circle", "first")) == 1
    assert len(size.all("circle", "ring")) == 1  # int8 alone: on the lower edge, since it is far below


def test_the_trail_and_the_layers(found: Optimized) -> None:
    page = checked(found)
    steps = [item.text for item in page.all("ol")[0].all("li")]
    assert steps[1] == "int8 with the minimum and maximum loses 27.1 points. [3]"
    assert page.table("The model's output with only this layer quantized")[1] == [
        BAD, "DEPTHWISE_CONV_2D", "11.2 dB", "+30 KB"
    ]


def test_nothing_within_the_budgets(found: Optimized) -> None:
    nothing = dataclasses.replace(found, winner=None, output=None, final=None, evidence=None)
    page = checked(nothing)
    assert page.all("h1")[0].text == "No candidate is within the budgets"
    assert "Nothing was written." in page.all("section", "verdict")[0].text
    assert not [heading for heading in page.all("h2") if heading.text.startswith("The chosen model")]


def test_without_labels_agreement_counts(found: Optimized) -> None:
    bare = dataclasses.replace(
        found, labelled=False, reference_top1=None, winner=None, final=None, evidence=None,
        rows=tuple(dataclasses.replace(row, top1=None, drop=None) for row in found.rows),
    )
    page = checked(bare)
    assert page.table("All 5 candidates")[0] == ["candidate", "size", "ms", "agreement", "outcome"]
    assert any(drawing.attributes["aria-label"].startswith("agreement against size") for drawing in page.all("svg"))


def test_nothing_could_be_made(found: Optimized) -> None:
    rows = tuple(Row(row.plan, row.name, "failed", "no memory") for row in found.rows)
    page = checked(dataclasses.replace(found, rows=rows, front=(), winner=None, output=None, final=None, evidence=None))
    assert not page.all("svg")


def test_it_is_written(found: Optimized, tmp_path: Path) -> None:
    write_optimization(found, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text("utf-8") == optimization_page(found)


def test_without_labels_there_is_a_budget_for_agreement(found: Optimized) -> None:
    page = checked(dataclasses.replace(found, labelled=False, gate=Gate()))
    assert "agreement of at least 98 %" in page.all("section", "verdict")[0].text
