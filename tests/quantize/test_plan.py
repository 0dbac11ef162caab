"""What a plan is called, and its way through JSON."""

from __future__ import annotations

import json

import pytest

from edgekit.quantize.plan import Plan


@pytest.mark.parametrize(
    ("plan", "name"),
    [
        (Plan("none"), "float32"),
        (Plan("weight8"), "weight8"),
        (Plan("int8"), "int8 minmax"),
        (Plan("int16x8", "mse"), "int16x8 mse"),
        (Plan("float16", "mse", keep_float=("a",)), "float16, 1 layer in float"),
        (
            Plan("int8", "entropy", equalize=True, correct_bias=True, keep_float=("a", "b")),
            "int8 entropy, equalized, bias corrected, 2 layers in float",
        ),
    ],
)
def test_a_plan_has_a_name_and_keeps_it_through_json(plan: Plan, name: str) -> None:
    assert plan.name == name
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert hash(again) == hash(plan)
