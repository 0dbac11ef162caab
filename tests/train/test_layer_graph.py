"""A Keras model taken apart: the contract with Keras' functional models."""

from __future__ import annotations

from typing import Any


def test_nested_models_are_opened_and_the_graph_can_be_built_again(folded: dict[str, Any]) -> None:
    graph = folded["graph"]
    assert graph["kinds"] == [
        "Divide", "Subtract", "Conv2D", "BatchNormalization", "ReLU", "Conv2D", "Flatten", "Dense",
        "BatchNormalization", "Dense",
    ]
    assert graph["difference"] == 0


def test_it_knows_who_takes_what_and_which_layers_are_shared(folded: dict[str, Any]) -> None:
    graph = folded["graph"]
    assert graph["consumers"]["normalise"] == ["shared", "shared"]
    assert graph["consumers"]["left"] == ["both"]
    assert graph["consumers"]["answer"] == []
    assert graph["calls"] == [1, 2]
