"""Networks without batch normalization that answer the same, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

NAMES = ("blocks", "nested", "branches", "sequential", "twice")


@pytest.mark.parametrize("name", NAMES)
def test_a_folded_network_answers_the_same(folded: dict[str, Any], name: str) -> None:
    found = folded["folded"][name]
    assert found["difference"] < 2e-5
    assert found["unchanged"]


@pytest.mark.parametrize("name", sorted({*NAMES} - {"twice"}))
def test_it_is_made_of_keras_own_layers_and_linear_where_weights_are(folded: dict[str, Any], name: str) -> None:
    found = folded["folded"][name]
    assert found["modules"] == ["keras"]
    assert found["activations"] == ["linear"]


def test_normalization_goes_into_weights_where_it_can(folded: dict[str, Any]) -> None:
    layers = folded["folded"]["blocks"]["layers"]
    assert "BatchNormalization" not in layers.values()
    assert (layers["separable_depthwise"], layers["separable_linear"]) == ("DepthwiseConv2D", "Conv2D")
    assert (layers["separable"], layers["scores"], layers["scores_linear"]) == ("Activation", "Activation", "Dense")
    branches = folded["folded"]["branches"]["layers"]
    assert branches["both_norm"] == "DepthwiseConv2D"
    assert "up_norm" not in branches
    assert "BatchNormalization" not in folded["folded"]["nested"]["layers"].values()


def test_names_stay_unique_where_a_model_lies_in_a_model(folded: dict[str, Any]) -> None:
    layers = folded["folded"]["nested"]["layers"]
    assert [name for name, kind in layers.items() if kind == "Conv2D"] == ["conv", "conv_1_linear"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("recurrent", "the layer 'memory' (LSTM): recurrent layers"),
        ("custom", "the layer 'strange' (Strange): it is none of Keras' own layers"),
        ("program", "own is a program of its own"),
        ("channels first", "the layer 'turned' (MaxPooling2D): it takes the channels of an image first"),
        ("two inputs", "has 2 inputs and 1 outputs"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_the_reason(folded: dict[str, Any], name: str, words: str) -> None:
    assert words in folded["refused"][name]
