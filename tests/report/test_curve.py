"""The learning curve is a picture that every XML reader accepts."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from edgekit.report.curve import HEIGHT, WIDTH, write_curve
from tests.session_models import TrainedOnce

SVG = "{http://www.w3.org/2000/svg}"
HISTORY = [
    {"loss": 2.0 / epoch, "accuracy": 1 - 0.8 / epoch, "val_loss": 2.2 / epoch, "val_accuracy": 1 - 0.9 / epoch}
    for epoch in range(1, 31)
]


def drawn(path: Path) -> ElementTree.Element:
    root = ElementTree.fromstring(path.read_text("utf-8"))
    assert root.tag == f"{SVG}svg"
    assert root.get("viewBox") == f"0 0 {WIDTH} {HEIGHT}"
    return root


def lines(root: ElementTree.Element) -> list[list[tuple[float, float]]]:
    """The points of each line, as (x, y)."""
    return [
        [(float(x), float(y)) for x, y in (point.split(",") for point in (line.get("points") or "").split())]
        for line in root.iter(f"{SVG}polyline")
    ]


def test_every_epoch_is_a_point_inside_of_the_picture(tmp_path: Path) -> None:
    write_curve(HISTORY, tmp_path / "curve.svg")
    found = lines(drawn(tmp_path / "curve.svg"))
    assert [len(line) for line in found] == [30] * 4  # training and validation, of loss and accuracy
    for line in found:
        assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in line)
        assert [x for x, _ in line] == sorted(x for x, _ in line)


def test_better_is_lower_for_loss_and_higher_for_accuracy(tmp_path: Path) -> None:
    write_curve(HISTORY, tmp_path / "curve.svg")
    training_loss, validation_loss, training, validation = lines(drawn(tmp_path / "curve.svg"))
    for loss in (training_loss, validation_loss):  # y grows downwards
        assert loss[0][1] < loss[-1][1]
    for accuracy in (training, validation):
        assert accuracy[0][1] > accuracy[-1][1]
    assert validation_loss[0][1] < training_loss[0][1]
    assert validation[0][1] > training[0][1]


def test_the_axes_are_labelled(tmp_path: Path) -> None:
    write_curve(HISTORY, tmp_path / "curve.svg")
    words = [text.text for text in drawn(tmp_path / "curve.svg").iter(f"{SVG}text")]
    assert {"loss by epoch", "accuracy by epoch", "training", "validation", "100%", "2.2", "30"} <= set(words)
    assert len([word for word in words if word and word.endswith("%")]) == 5


@pytest.mark.parametrize(
    "epoch",
    [
        {"loss": 0.7, "accuracy": 0.5, "val_loss": 0.6, "val_accuracy": 0.55},
        {"loss": 0.0, "accuracy": 1.0, "val_loss": 0.0, "val_accuracy": 1.0},
    ],
)
def test_a_single_epoch_is_visible(tmp_path: Path, epoch: dict[str, float]) -> None:
    write_curve([epoch], tmp_path / "curve.svg")
    root = drawn(tmp_path / "curve.svg")
    dots = [(float(dot.get("cx") or "nan"), float(dot.get("cy") or "nan")) for dot in root.iter(f"{SVG}circle")]
    assert len(dots) == 4
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in dots)


def test_a_loss_that_is_not_finite_spoils_only_its_own_epoch(tmp_path: Path) -> None:
    history = [dict(epoch) for epoch in HISTORY]
    history[3]["val_loss"], history[4]["val_loss"] = math.inf, math.nan
    write_curve(history, tmp_path / "curve.svg")
    found = lines(drawn(tmp_path / "curve.svg"))
    assert [len(line) for line in found] == [30, 28, 30, 30]
    assert all(math.isfinite(x) and 0 < y < HEIGHT for line in found for x, y in line)


@pytest.mark.slow
def test_a_real_run(trained: TrainedOnce, tmp_path: Path) -> None:
    write_curve(trained.result.history, tmp_path / "curve.svg")
    assert [len(line) for line in lines(drawn(tmp_path / "curve.svg"))] == [len(trained.result.history)] * 4
