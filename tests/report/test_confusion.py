"""The confusion matrix counts, and of many classes only what is confused is shown."""

from __future__ import annotations

import numpy as np

from edgekit.report.confusion import LARGEST_MATRIX, MOST_PAIRS, confusion
from tests.report.parsed import Page

AXES = ("label", "answer")


def test_the_counts() -> None:
    truth, answers = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0])
    found = Page(confusion(truth, answers, ["a", "<b>", "c"], AXES, "Answers"))
    assert found.table("Answers") == [
        ["label ↓ answer →", "a", "<b>", "c"],
        ["a", "2", "1", "·"],
        ["<b>", "·", "2", "·"],
        ["c", "1", "·", "·"],
    ]
    shades = [cell.attributes["class"] for cell in found.all("td")]
    assert shades == ["right4", "wrong2", "none", "none", "right5", "none", "wrong5", "none", "none"]


def test_many_classes_become_pairs() -> None:
    labels = [f"class {number}" for number in range(LARGEST_MATRIX + 1)]
    truth, answers = np.array([3, 3, 3, 7, 7, 20, 1]), np.array([4, 4, 3, 7, 6, 0, 1])
    found = Page(confusion(truth, answers, labels, AXES, "Answers"))
    assert found.table("Answers: all pairs of 21 classes") == [
        ["label", "answer", "images"],
        ["class 3", "class 4", "2 of 3"],
        ["class 7", "class 6", "1 of 2"],
        ["class 20", "class 0", "1 of 1"],
    ]
    assert "none of the 7 images" in confusion(truth, truth, labels, AXES, "Answers")


def test_the_number_of_classes_costs_nothing() -> None:
    labels = [str(number) for number in range(100_000)]
    truth = np.arange(100_000)
    table = Page(confusion(truth, np.roll(truth, 1), labels, AXES, "Answers")).table("Answers")
    assert len(table) == 1 + MOST_PAIRS
