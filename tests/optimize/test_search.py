"""What is tried, in which order, and what is left out because it cannot win.

Figures come from tables here: what is tested is the way, not the measuring.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from edgekit.core.errors import ConversionError, DataError, EdgekitError
from edgekit.optimize.search import Search
from edgekit.quantize.plan import Plan
from edgekit.validate.gate import Gate
from edgekit.validate.optimized import CRASHED, OK, Row, Sensitivity

SCHEMES = ("none", "float16", "dynamic", "int8")
SIZES = {"none": 4000, "float16": 2000, "dynamic": 1050, "int8": 1000, "int16x8": 1100}
TIMES = {"none": 4.0, "float16": 4.0, "dynamic": 8.0, "int8": 1.0, "int16x8": 90.0}
LAYERS = [Sensitivity("c", "conv", "CONV_2D", 30, 100, 1e-6), Sensitivity("b", "stem", "CONV_2D", 5, 30, 1e-2),
          Sensitivity("d", "dense", "FULLY_CONNECTED", 3, 900, 1e-3)]


class Bench:
    """Measures by tables: `drops` by the name of a plan, or by its scheme, else 0."""

    def __init__(self, drops: dict[str, float], crashing: Sequence[str] = ()) -> None:
        self.drops, self.crashing = drops, crashing
        self.batches: list[list[str]] = []
        self.ranked: list[str] = []

    def measure(self, plans: Sequence[Plan]) -> list[Row]:
        self.batches.append([plan.name for plan in plans])
        return [self.row(plan) for plan in plans]

    def row(self, plan: Plan) -> Row:
        if plan.name in self.crashing:
            return Row(plan, plan.name, CRASHED, "SIGSEGV")
        drop = self.drops.get(plan.name, self.drops.get(plan.scheme, 0.0))
        size = SIZES[plan.scheme] + sum(layer.bytes for layer in LAYERS if layer.tensor in plan.keep_float)
        return Row(plan, plan.name, OK, size_bytes=size, latency_ms=TIMES[plan.scheme], top1=0.9, drop=drop,
                   agreement=1 - abs(drop) / 100, mean_difference=abs(drop) / 100)

    def rank(self, plan: Plan) -> list[Sensitivity]:
        self.ranked.append(plan.name)
        return LAYERS


def search(bench: Bench, **changes: Any) -> Search:
    values: dict[str, Any] = {"gate": Gate(), "labelled": True, "objective": "size", "width": 2}
    train_first, learned = changes.pop("train_first", None), changes.pop("learned", False)
    found = Search(bench.measure, bench.rank, train_first, **{**values, **changes})
    found.try_schemes(SCHEMES, learned)
    found.repair()
    found.select()
    found.train()
    found.conclude()
    return found


def winner(found: Search) -> str | None:
    return None if found.winner is None else found.rows[found.winner].name


def test_int8_that_is_right_at_once_is_neither_repaired_nor_mixed() -> None:
    bench = Bench({"int8": 0.5, "int8 mse": 0.0})
    found = search(bench)
    assert winner(found) == "int8 mse"
    assert bench.batches == [
        ["float32", "float16", "dynamic", "int8 minmax", "int8 percentile", "int8 mse", "int8 entropy"]
    ]
    assert found.trail[0].text.endswith("7 are within the budgets, the best so far: int8 mse (drop 0.00 points).")
    assert found.trail[1].text == "Repairs of int8 mse were left out: it answers exactly like its source."
    assert found.trail[2].text.startswith("Layers were not returned to float: int8 mse is within the budgets")
    assert found.rows[0].lost_because == "larger than int8 mse: 4 KB against 1 KB"
    assert found.rows[3].lost_because == "less accurate than int8 mse: its drop is 0.50 points against 0.00"


def test_repairs_start_from_the_best_int8() -> None:
    bench = Bench({"int8": 30, "int8 mse": 20, "int8 mse, bias corrected": 10, "int8 mse, equalized": 0.2,
                   "int8 mse, equalized, bias corrected": 0.4})
    found = search(bench)
    assert bench.batches[1:] == [
        ["int8 mse, equalized", "int8 mse, bias corrected", "int8 mse, equalized, bias corrected"],
        ["int8 minmax, equalized", "int8 percentile, equalized", "int8 entropy, equalized"],
    ]
    assert winner(found) == "int8 mse, equalized"
    assert found.trail[1].text == (
        "Repaired int8 mse (drop 20.00 points). int8 mse, equalized is now the best (drop 0.20 points)."
    )
    assert found.trail[1].rows == (7, 8, 9)
    assert found.trail[2].text.startswith("Tried the other estimators on int8 mse, equalized. ")
    assert found.trail[2].rows == (10, 11, 12)
    assert found.rows[3].lost_because == "a drop of 30.00 points is above 1"


def test_layers_return_by_gain_per_byte_until_the_budgets_hold() -> None:
    bench = Bench({"int8": 30, "int8 minmax, 1 layer in float": 5, "int8 minmax, 2 layers in float": 0.5,
                   "dynamic": 5, "none": 0})
    found = search(bench)
    assert bench.ranked == ["int8 minmax"]
    assert [found.rows[index].plan.keep_float for index in found.trail[2].rows] == [("b",), ("b", "d")]
    assert winner(found) == "int8 minmax, 2 layers in float"
    assert "the largest gain per byte first: stem, dense. int8 minmax, 2 layers" in found.trail[2].text


@pytest.mark.parametrize("width", [1, 3])
def test_no_more_layers_than_needed_but_as_many_at_once_as_there_are_cores(width: int) -> None:
    bench = Bench({"int8": 30, "dynamic": 5, "int8 minmax, 1 layer in float": 0.9})
    search(bench, width=width)
    assert [len(batch) for batch in bench.batches[2:]] == [width]


def test_a_small_layer_with_hardly_any_noise_does_not_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = Sensitivity("t", "tiny", "CONV_2D", 60, 1, 9e-3)
    monkeypatch.setattr(Bench, "rank", lambda self, plan: [*LAYERS, tiny])
    bench = Bench({"int8": 30, "dynamic": 5, "float16": 5, "none": 5})
    found = search(bench, width=1)
    assert [len(batch) for batch in bench.batches[2:]] == [1, 1, 1, 1]
    assert found.rows[-1].plan.keep_float == ("b", "d", "t", "c")


def test_layers_stop_returning_when_the_file_is_too_large_to_win() -> None:
    bench = Bench({"int8": 30})
    found = search(bench, width=1)
    assert winner(found) == "dynamic"
    assert found.rows[-1].plan.keep_float == ("b", "d")  # 1930 bytes: larger than dynamic, whatever it answers
    assert len(bench.batches) == 4


def test_layers_that_cannot_be_measured_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Bench, plan: Plan) -> list[Sensitivity]:
        raise ConversionError("It could not be repaired.")

    monkeypatch.setattr(Bench, "rank", fail)
    found = search(Bench({"int8": 30, "dynamic": 5}))
    assert found.trail[-1].text == "The layers of int8 minmax could not be measured: It could not be repaired."
    assert winner(found) == "float16"


def test_what_cannot_win_is_left_out() -> None:
    bench = Bench({"int8": 30})
    found = search(bench, gate=Gate(max_size_bytes=900))
    assert len(bench.batches) == 1
    assert winner(found) is None
    assert "Repairs of int8 minmax were left out: whatever it answers, 1 KB are above 900 bytes." in found.trail[1].text
    assert [row.lost_because for row in found.rows[:2]] == ["4 KB are above 900 bytes", "2 KB are above 900 bytes"]


def test_a_perfect_int8_could_still_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "dynamic", 700)
    bench = Bench({"int8": 30, "dynamic": 0})
    found = search(bench)
    assert len(bench.batches) == 1
    assert found.trail[1].text == (
        "Repairs of int8 minmax were left out: even with its source's answers it would be larger than dynamic: "
        "1 KB against 700 bytes."
    )


def test_for_accuracy_layers_return_even_within_the_budgets() -> None:
    bench = Bench({"int8": 0.9, "dynamic": 0.9, "int8 minmax, 2 layers in float": 0.0})
    found = search(bench, objective="accuracy", gate=Gate(max_size_bytes=1990))
    assert winner(found) == "int8 minmax, 2 layers in float"


def test_crashes_are_rows_and_the_search_goes_on() -> None:
    bench = Bench({"int8": 30, "int8 minmax, equalized": 0}, ["int8 mse", "int8 minmax, bias corrected"])
    found = search(bench)
    assert [(row.name, row.lost_because) for row in found.rows if row.status == CRASHED] == [
        ("int8 mse", "SIGSEGV"), ("int8 minmax, bias corrected", "SIGSEGV")
    ]
    assert winner(found) == "int8 minmax, equalized"


def test_where_no_int8_can_be_made() -> None:
    names = [f"int8 {ranges}" for ranges in ("minmax", "percentile", "mse", "entropy")]
    found = search(Bench({}, names))
    assert found.trail[1].text == "Repairs were left out: no int8 candidate could be measured."
    assert len(found.trail) == 2
    assert winner(found) == "dynamic"


def test_training_is_the_last_resort() -> None:
    trained: list[bool] = []

    def train() -> str:
        trained.append(True)
        return "60 images"

    bench = Bench({"int8": 30, "dynamic": 5, "float16": 5, "none": 5, "int8 learned": 0.1})
    found = search(bench, train_first=train)
    assert trained == [True]
    assert winner(found) == "int8 learned"
    assert bench.batches[-1] == ["int8 learned"]
    assert found.trail[-1].text == (
        "Trained with fake quantization on 60 images. int8 learned is now the best (drop 0.10 points)."
    )
    assert found.rows[-1].plan == Plan("int8", "learned")


@pytest.mark.parametrize(
    ("drops", "learned", "reason"),
    [
        ({"int8": 0.5}, False, "The model was not trained: int8 minmax is within the budgets."),
        ({"int8": 30, "dynamic": 0}, False, "The model was not trained: "),
        ({"int8": 30, "dynamic": 5, "none": 5}, True, "The model was not trained: it has been already."),
    ],
)
def test_training_is_left_out(drops: dict[str, float], learned: bool, reason: str) -> None:
    gate = Gate(max_size_bytes=900) if drops.get("dynamic") == 0 else Gate()
    found = search(Bench(drops), train_first=lambda: pytest.fail("was trained"), learned=learned, gate=gate)
    assert found.trail[-1].text.startswith(reason)


def test_training_that_fails_ends_the_search_as_it_was() -> None:
    for error in (ConversionError("It diverged."), DataError("There are too few images.")):

        def fail(error: EdgekitError = error) -> str:
            raise error

        found = search(Bench({"int8": 30, "dynamic": 5}), train_first=fail)
        assert found.trail[-1].text == f"Quantization-aware training failed: {error.message}"
        assert winner(found) == "float16"


def test_training_is_tried_for_the_size_of_int8_and_not_for_that_of_layers_in_float() -> None:
    bench = Bench({"int8": 30, "dynamic": 5, "float16": 5, "none": 5, "int8 learned": 0.1})
    assert winner(search(bench, train_first=lambda: "60 images", gate=Gate(max_size_bytes=1500))) == "int8 learned"


def test_how_many_are_measured_at_once_does_not_matter() -> None:
    for layers in range(1, 4):
        drops = {"int8": 30, "dynamic": 5, "float16": 5, "none": 5}
        kept = {f"int8 minmax, {count} layer{'' if count == 1 else 's'} in float": 0.2 for count in range(layers, 9)}
        found = {width: search(Bench({**drops, **kept}), width=width) for width in (1, 2, 3, 8)}
        assert len({(winner(each), len(each.rows)) for each in found.values()}) == 1
        assert [step.text for step in found[1].trail] == [step.text for step in found[8].trail]


def test_learned_ranges_are_tried_and_not_repaired() -> None:
    bench = Bench({"int8": 30, "int8 learned": 0.5})
    found = search(bench, learned=True)
    assert "int8 learned" in bench.batches[0]
    assert not any("learned, " in name for batch in bench.batches for name in batch)
    assert winner(found) == "int8 learned"
