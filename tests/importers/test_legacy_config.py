"""How configurations of Keras 1 and 2 are rewritten. That they then load is in test_old_keras.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.core.errors import ImportRefused
from edgekit.importers import legacy_config, legacy_graph
from tests.importers import old_keras as old

IMAGE = old.layer("InputLayer", "image", batch_input_shape=[16, 8, 8, 3], dtype="float32", sparse=False)


def modern(*chain: old.Config, **options: Any) -> dict[str, old.Config]:
    """The layers that a functional model of these becomes, by name."""
    made = legacy_config.modernize(old.functional(IMAGE, *chain), "m.h5", **options)
    return {layer["name"]: layer for layer in made.config["config"]["layers"]}


def arguments(*chain: old.Config) -> old.Config:
    """The arguments of the last layer."""
    made = modern(*chain)[chain[-1]["config"]["name"]]
    return {"class_name": made["class_name"], **{key: value for key, value in made["config"].items() if key != "name"}}


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (old.convolution_1("c", 4, 3, dim_ordering="tf", subsample=[2, 1]),
         {"class_name": "Conv2D", "filters": 4, "kernel_size": [3, 3], "strides": [2, 1], "padding": "valid",
          "data_format": "channels_last", "use_bias": True, "activation": "linear", "trainable": True}),
        (old.dense_1("d", 7), {"class_name": "Dense", "units": 7, "use_bias": True, "activation": "softmax",
                               "trainable": True}),
        (old.layer("Dropout", "d", p=0.25), {"class_name": "Dropout", "rate": 0.25}),
        (old.layer("ZeroPadding2D", "z", padding=[1, 2, 3, 4]),
         {"class_name": "ZeroPadding2D", "padding": [[1, 2], [3, 4]], "trainable": True}),
        (old.layer("ZeroPadding2D", "z", padding={"top_pad": 1, "right_pad": 2}),
         {"class_name": "ZeroPadding2D", "padding": [[1, 0], [0, 2]], "trainable": True}),
        (old.layer("BatchNormalization", "b", mode=0, axis=-1, epsilon=0.001, momentum=0.99, beta_regularizer=None),
         {"class_name": "BatchNormalization", "axis": -1, "epsilon": 0.001, "momentum": 0.99, "trainable": True}),
        (old.layer("BatchNormalizationV2", "b", axis=[3], fused=True, renorm=False),
         {"class_name": "BatchNormalization", "axis": 3, "trainable": True}),
        (old.layer("LeakyReLU", "l", alpha={"type": "ndarray", "value": 0.1}),
         {"class_name": "LeakyReLU", "negative_slope": 0.1, "trainable": True}),
        (old.layer("ThresholdedReLU", "t", theta=0.5), {"class_name": "ReLU", "threshold": 0.5, "trainable": True}),
        (old.layer("RandomFlip", "r", mode="horizontal", seed=None), {"class_name": "Identity"}),
        (old.layer("Dense", "d", units=2, dtype={"class_name": "Policy", "config": {"name": "mixed_float16"}}),
         {"class_name": "Dense", "units": 2, "dtype": "float32", "trainable": True}),
        (old.layer("Reshape", "r", target_shape={"class_name": "__tuple__", "items": [4, 48]}),
         {"class_name": "Reshape", "target_shape": [4, 48], "trainable": True}),
    ],
)
def test_the_words_of_keras_1_and_2(layer: old.Config, expected: old.Config) -> None:
    assert arguments(layer) == expected


@pytest.mark.parametrize(
    ("config", "class_name", "settings"),
    [
        ({"mode": "sum"}, "Add", {}), ({"mode": "max"}, "Maximum", {}), ({"mode": "ave"}, "Average", {}),
        ({"mode": "concat", "concat_axis": 3}, "Concatenate", {"axis": 3}),
        ({"mode": "cos", "dot_axes": 1}, "Dot", {"axes": 1, "normalize": True}),
        ({"mode": ["4wAA…", None, None], "mode_type": "lambda", "arguments": {"by": 2}}, "Lambda",
         {"function": ["4wAA…", None, None], "arguments": {"by": 2}}),
    ],
)
def test_merge_layers(config: old.Config, class_name: str, settings: old.Config) -> None:
    both = [[["image", 0, 0, {}], ["image", 0, 0, {}]]]
    made = legacy_config.modernize(old.functional(IMAGE, old.layer("Merge", "joined", **config), joined=both), "m.h5")
    joined = made.config["config"]["layers"][-1]
    assert (joined["class_name"], joined["config"]) == (class_name, {"name": "joined", **settings})
    assert joined["inbound_nodes"] == both


def test_a_sequential_becomes_functional() -> None:
    first = old.convolution_1("c", 4, 3, dim_ordering="tf", batch_input_shape=[32, 8, 8, 3], input_dtype="float32")
    made = legacy_config.modernize(old.sequential_1(first, old.layer("Flatten", "f")), "m.h5").config["config"]
    assert [(layer["class_name"], layer["inbound_nodes"]) for layer in made["layers"]] == [
        ("InputLayer", []), ("Conv2D", [[["c_input", 0, 0, {}]]]), ("Flatten", [[["c", 0, 0, {}]]])]
    assert made["layers"][0]["config"] == {"name": "c_input", "batch_input_shape": [None, 8, 8, 3], "dtype": "float32"}
    assert (made["input_layers"], made["output_layers"]) == (["c_input", 0, 0], ["f", 0, 0])


@pytest.mark.parametrize("counted_from", [0, 1])
def test_calls_of_a_nested_model_are_counted_from_0(counted_from: int) -> None:
    """But from 1 where the model gives them out; and a slash in a name is none that Keras 3 takes."""
    inner = {**old.functional(IMAGE, old.layer("Flatten", "in/flat")), "name": "inner"}
    inner["config"]["name"] = "inner"
    calls = [[["image", 0, 0, {}]], [["image", 0, 0, {}]]]
    both = [[["inner", counted_from, 0, {}], ["inner", counted_from + 1, 0, {}]]]
    outer = old.functional(IMAGE, inner, old.layer("Add", "sum"), inner=calls, sum=both)
    outer["config"]["output_layers"] = [["sum", 0, 0], ["inner", counted_from + 1, 0]]
    made = legacy_config.modernize(outer, "m.h5").config["config"]
    assert made["layers"][2]["inbound_nodes"] == [[["inner", 0, 0, {}], ["inner", 1, 0, {}]]]
    assert made["output_layers"] == [["sum", 0, 0], ["inner", 2, 0]]
    assert made["layers"][1]["config"]["layers"][1]["name"] == "in_flat"


def test_hard_sigmoid_is_that_of_its_day() -> None:
    """Keras 3's is clip(x / 6 + 1/2), the older one clip(x / 5 + 1/2)."""
    made = modern(old.layer("Dense", "d", units=2, activation="hard_sigmoid"), old.layer("Activation", "a",
                                                                                         activation="hard_sigmoid"))
    assert list(made) == ["image", "d", "d_scaled", "d_scaled_hard_sigmoid", "a", "a_hard_sigmoid"]
    assert made["d"]["config"]["activation"] == "linear"
    assert made["d_scaled"]["config"] == {"name": "d_scaled", "scale": 1.2, "offset": 0.0}
    assert made["a"]["class_name"] == "Rescaling"
    assert made["a"]["inbound_nodes"] == [[["d_scaled_hard_sigmoid", 0, 0, {}]]]


def test_a_layer_as_activation() -> None:
    leaky = {"class_name": "LeakyReLU", "config": {"name": "leaky_re_lu", "alpha": 0.1}}
    made = modern(old.layer("Dense", "d", units=2, activation=leaky))
    assert made["d_activation"]["class_name"] == "LeakyReLU"
    assert made["d_activation"]["config"] == {"name": "d_activation", "negative_slope": 0.1}


def test_arguments_of_foreign_layers_are_left_alone() -> None:
    theirs = old.layer("Theirs", "t", init=3, kernel_width=2, p=1)
    assert modern(theirs, custom={"Theirs"})["t"]["config"] == theirs["config"]


def test_channels_first_becomes_channels_last() -> None:
    image = old.layer("InputLayer", "image", batch_input_shape=[None, 3, 8, 6])
    chain = (image, old.convolution_1("c", 4, 3), old.layer("UpSampling2D", "u", size=[2, 2]),
             old.layer("BatchNormalization", "b", axis=1, mode=0),
             old.layer("BatchNormalization", "w", axis=-1, mode=0),
             old.layer("Reshape", "r", target_shape=[2, 24, 8]), old.layer("Flatten", "f"), old.dense_1("d", 3))
    model = legacy_config.modernize(old.functional(*chain), "m.h5")
    made = {layer["name"]: layer for layer in model.config["config"]["layers"]}
    assert model.channels_first
    assert made["image"]["config"]["batch_input_shape"] == [None, 8, 6, 3]
    assert {made[name]["config"]["data_format"] for name in "cu"} == {"channels_last"}
    assert [made[name]["config"]["axis"] for name in "bw"] == [3, 2]
    assert list(made) == ["image", "c", "u", "b", "w", "r_channels_first", "r", "r_channels_last", "f_channels_first",
                          "f", "d"]
    assert made["r_channels_first"]["config"]["dims"] == [3, 1, 2]
    assert made["r_channels_last"]["config"]["dims"] == [2, 3, 1]
    assert made["f_channels_first"]["inbound_nodes"] == [[["r_channels_last", 0, 0, {}]]]


def test_channels_last_stays_as_it_is() -> None:
    made = modern(old.convolution_1("c", 4, 3, dim_ordering="tf"), old.layer("Flatten", "f"))
    assert list(made) == ["image", "c", "f"]


def test_theano_pads_both_sides() -> None:
    conv = old.convolution_1("c", 4, 5, dim_ordering="tf", border_mode="same", subsample=[2, 2])
    assert modern(conv)["c"]["config"]["padding"] == "same"
    made = modern(conv, theano=True)
    assert made["c_padding"]["config"]["padding"] == [[2, 2], [2, 2]]
    assert made["c"]["config"]["padding"] == "valid"
    even = old.convolution_1("c", 4, 4, dim_ordering="tf", border_mode="same")
    with pytest.raises(ImportRefused, match="pads as only Theano did"):
        modern(even, theano=True)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (old.sequential_1(old.dense_1("d", 2)), True),
        ({**old.sequential_1(old.layer("Dense", "d", units=2)), "keras_version": "1.1.0"}, True),
        ({**old.sequential_1(old.layer("Dense", "d", units=2)), "keras_version": "2.2.4"}, False),
        (old.functional(IMAGE, old.layer("Embedding", "e", output_dim=2)), False),
    ],
)
def test_which_keras_it_was(config: old.Config, expected: bool) -> None:
    assert legacy_config.is_keras_1(config) is expected


@pytest.mark.parametrize("name", ["LocallyConnected2D", "TFOpLambda"])
def test_what_only_keras_2_has(name: str) -> None:
    with pytest.raises(legacy_config.NotInKeras3, match=f"the layer 'x' is a {name}"):
        modern(old.layer(name, "x"))
    with pytest.raises(legacy_config.NotInKeras3, match="hard_sigmoid between steps"):
        modern(old.layer("LSTM", "x", units=2, recurrent_activation="hard_sigmoid"))


def test_the_given_configuration_is_not_changed(tmp_path: Path) -> None:
    import copy

    config = old.functional(IMAGE, old.convolution_1("c", 4, 3, dim_ordering="tf"), old.dense_1("d", 2))
    before = copy.deepcopy(config)
    legacy_config.modernize(config, "m.h5")
    assert config == before


@pytest.mark.parametrize("node", [[], [["c"]], [["image", "0", 0]], {"args": []}, 3])
def test_nodes_that_are_none(node: Any) -> None:
    with pytest.raises(ImportRefused, match="called in a way"):
        legacy_graph.functional(old.functional(IMAGE, old.layer("Flatten", "f"), f=[node]), "m.h5")
