"""int8 in simulation: which values are rounded, to what, and how ranges are learned."""

from __future__ import annotations

from typing import Any

import pytest


def test_weights_are_rounded_by_channel_in_convolutions_and_as_one_in_dense_layers(folded: dict[str, Any]) -> None:
    off_grid = folded["simulation"]["off grid"]
    assert set(off_grid) == {
        "stem", "depthwise", "project", "separable_depthwise", "separable_linear", "scores_linear"
    }
    assert max(off_grid.values()) < 1e-3  # of a step of a 127th of the largest weight


def test_the_simulation_answers_nearly_as_the_network(folded: dict[str, Any]) -> None:
    assert 0 < folded["simulation"]["difference"] < 0.05
    assert folded["simulation"]["trained"] > 0


def test_ranges_follow_the_batches_but_for_those_that_are_known(folded: dict[str, Any]) -> None:
    start, moved = folded["simulation"]["start"], folded["simulation"]["moved"]
    assert start["normalise"] == moved["normalise"] == pytest.approx([-1, 1], abs=1e-6)
    assert all(low <= 0 < high for low, high in moved.values())
    for place in ("stem_relu", "add", "separable", "scores_linear"):
        assert start[place] != moved[place]


def test_a_relu_that_a_kernel_computes_on_the_way_is_rounded_once(folded: dict[str, Any]) -> None:
    rounds = {name: found[0] for name, found in folded["places"]["blocks"].items()}
    assert not rounds["stem"]
    assert not rounds["depthwise"]
    assert all(rounds[name] for name in ("normalise", "stem_relu", "depthwise_relu", "project", "add", "pool"))
    assert rounds["separable_linear"], "its silu is an operator of its own"
    assert "dropout" not in rounds
    assert "scores" not in rounds, "the softmax stays in float"


def test_what_is_concatenated_is_rounded_behind_it_and_pools_keep_their_scale(folded: dict[str, Any]) -> None:
    found = folded["places"]["branches"]
    assert not found["left"][0]
    assert not found["right"][0]
    assert found["both"][0]
    assert not {"half", "most"} & set(found)
    assert found["answer"][1:] == [False, 0, pytest.approx(255 / 256)]


def test_ranges_of_pixels_are_known_through_functions_too(folded: dict[str, Any]) -> None:
    found = folded["places"]["nested"]
    assert found["divide"][1:] == [False, 0, 2]
    assert found["subtract"][1:] == [False, -1, 1]


@pytest.mark.parametrize("name", ["blocks", "branches", "sequential", "twice"])
def test_int8_in_simulation_is_near_the_network(folded: dict[str, Any], name: str) -> None:
    assert folded["folded"][name]["simulated"] < 0.05


def test_an_activation_that_is_called_twice_has_two_ranges(folded: dict[str, Any]) -> None:
    found = folded["folded"]["twice"]["ranges"]
    assert found["again_1"][1] > 2 * found["again"][1] > 0
