"""Budgets, objectives and the Pareto front."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.optimize.choice import choose, closest, front, misses
from edgekit.quantize.plan import Plan
from edgekit.validate.gate import Gate
from edgekit.validate.optimized import CRASHED, OK, Row


def row(name: str, size: int = 1000, ms: float = 1.0, drop: float | None = 0.0, **changes: Any) -> Row:
    values: dict[str, Any] = {
        "status": OK, "size_bytes": size, "latency_ms": ms, "drop": drop, "agreement": 0.99, "mean_difference": 0.01,
        "meets": True,
    }
    return Row(Plan("int8"), name, **{**values, **changes})


CRASH = Row(Plan("int8"), "crash", CRASHED, "it crashed")


def chosen(rows: list[Row], objective: str) -> str:
    best, reasons = choose(rows, objective)
    assert best is not None
    assert set(reasons) == {index for index, each in enumerate(rows) if each.meets} - {best}
    return rows[best].name


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        (Gate(), []),
        (Gate(max_drop=0.4), ["a drop of 0.50 points is above 0.4"]),
        (Gate(max_drop=0.5), []),
        (Gate(min_agreement=99), []),
        (Gate(min_agreement=99.5), ["an agreement of 99.00 % is below 99.5"]),
        (Gate(max_latency_ms=0.9), ["1 ms are above 0.9"]),
        (Gate(max_size_bytes=999), ["1 KB are above 999 bytes"]),
        (Gate(0.1, 100, 0.1, 10), ["drop", "ms", "agreement", "bytes"]),
    ],
)
def test_budgets(gate: Gate, expected: list[str]) -> None:
    found = misses(row("one", drop=0.5), gate, labelled=True)
    assert len(found) == len(expected)
    for text, part in zip(found, expected, strict=True):
        assert part in text


def test_without_labels_agreement_is_a_budget() -> None:
    assert misses(row("one", drop=None), Gate(), labelled=False) == []
    assert misses(row("one", drop=None, agreement=0.97), Gate(), labelled=False) == [
        "an agreement of 97.00 % is below 98"
    ]


def test_each_objective_has_its_winner() -> None:
    rows = [row("small", size=500, ms=9, drop=0.9), row("fast", size=900, ms=1, drop=0.8), row("right", 5000, 5, -0.1)]
    assert [chosen(rows, objective) for objective in ("size", "latency", "accuracy")] == ["small", "fast", "right"]


def test_what_misses_a_budget_is_never_chosen() -> None:
    assert chosen([row("small", size=1, meets=False), CRASH, row("large")], "size") == "large"
    assert choose([row("small", meets=False), CRASH], "size") == (None, {})


def test_a_hair_smaller_and_four_times_slower_is_no_better() -> None:
    assert chosen([row("dynamic", size=990, ms=4), row("int8", size=1000, ms=1)], "size") == "int8"
    assert chosen([row("dynamic", size=900, ms=4), row("int8", size=1000, ms=1)], "size") == "dynamic"


def test_noise_in_the_latency_does_not_decide() -> None:
    assert chosen([row("worse", ms=0.97, drop=0.5), row("better", ms=1.0, drop=0.1)], "latency") == "better"


def test_among_equals_the_closest_and_then_the_first_wins() -> None:
    rows = [row("a", mean_difference=0.02), row("b", mean_difference=0.01), row("c", mean_difference=0.01)]
    best, reasons = choose(rows, "size")
    assert best == 1
    assert reasons[0] == "its scores differ more from the source's than those of b: 0.02 against 0.01"
    assert reasons[2] == "no better than b, which is simpler"


def test_reasons_name_figures() -> None:
    rows = [row("best", size=1_000_000), row("large", size=2_000_000), row("slow", 1_000_000, ms=3),
            row("wrong", 1_000_000, drop=0.5), row("other", 1_000_000, agreement=0.98)]
    assert choose(rows, "size")[1] == {
        1: "larger than best: 2 MB against 1 MB",
        2: "slower than best: 3 ms against 1 ms",
        3: "less accurate than best: its drop is 0.50 points against 0.00",
        4: "agrees less with the source than best: 98.00 % against 99.00 %",
    }


def test_the_closest_whatever_it_costs() -> None:
    rows = [CRASH, row("cheap", drop=3, meets=False), row("dear", size=9999, drop=2, meets=False)]
    assert closest(rows, [0, 1, 2]) == 2
    assert closest(rows, [0, 1]) == 1
    assert closest(rows, [0]) is None


def test_the_front_leaves_out_what_is_beaten() -> None:
    rows = [
        row("float", size=4000, ms=4, drop=0),
        row("float16", size=2000, ms=4, drop=0),
        row("int8", size=1000, ms=1, drop=1, meets=False),
        CRASH,
        row("int8 again", size=1001, ms=0.99, drop=1),
        row("int16", size=1000, ms=50, drop=0.5),
        row("slow int16", size=1010, ms=60, drop=0.5),
    ]
    assert [rows[index].name for index in front(rows)] == ["float16", "int8", "int8 again", "int16"]


def test_the_front_by_agreement() -> None:
    rows = [row("a", drop=None, agreement=0.9), row("b", drop=None, agreement=0.95)]
    assert front(rows) == (1,)
