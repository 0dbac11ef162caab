"""Figures as text."""

from __future__ import annotations

import pytest

from edgekit.report.figures import count, percent, size, summary


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (29_310, "29.3 KB"), (4_500_000, "4.5 MB"), (2 * 10**9, "2 GB")],
)
def test_sizes(value: int, said: str) -> None:
    assert size(value) == said


def test_counts_and_shares() -> None:
    said = [count(1, "image"), count(1797, "image"), count(2, "class", "classes")]
    assert said == ["1 image", "1,797 images", "2 classes"]
    assert [percent(None), percent(0.98765)] == ["–", "98.77 %"]


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        (["pass", "pass"], "2 of 2 candidates pass"),
        (["pass", "fail", "pass"], "3 candidates: 2 pass, 1 fails"),
        (["inconclusive", "fail"], "2 candidates: 1 fails, 1 is undecided"),
    ],
)
def test_a_summary(outcomes: list[str], said: str) -> None:
    assert summary(outcomes) == said
