"""Files of Keras 1 and Keras 2: imported, they answer what the Keras that wrote them answered."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgekit.core.errors import EdgekitError, ImportRefused, ModelFileError
from edgekit.importers import keras_model
from tests.importers import old_keras as old

if TYPE_CHECKING:
    from tests.conftest import Needs

FIXTURES = Path(__file__).parents[1] / "fixtures" / "old_keras"
NAMES = ("many_layers", "merged", "channels_first", "channels_first_merged", "flattened")


@pytest.fixture(scope="module")
def tf_keras(tf: Any, needs: Needs) -> Any:
    needs.module("tf_keras", "pip install tf-keras")
    return importlib.import_module("tf_keras")


def last(images: old.Array) -> old.Array:
    return images.transpose(0, 2, 3, 1)


# --- Keras 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("parts", ["whole", "architecture and weights"])
def test_files_that_keras_1_wrote(tf: Any, name: str, parts: str) -> None:
    whole = FIXTURES / f"{name}.h5"
    model = keras_model.load(whole) if parts == "whole" else keras_model.load(whole.with_suffix(".json"), weights=whole)
    with np.load(FIXTURES / "answers.npz") as known:
        images, answers = known[f"{name}_images"], known[f"{name}_answers"]
    np.testing.assert_allclose(model(last(images) if "first" in name else images), answers, atol=1e-6)
    assert not getattr(model, "compiled", False)


def theano_file(path: Path, *, names: str = "conv_W,conv_b,scores_W,scores_b", **settings: Any) -> Path:
    """A convolution with strides 2 and padding "same" on 3x7x7, a mean over the picture, a Dense."""
    config = old.sequential_1(
        old.convolution_1("conv", 4, 3, border_mode="same", subsample=[2, 2], activation="relu",
                          batch_input_shape=[None, 3, 7, 7], input_dtype="float32"),
        old.layer("GlobalAveragePooling2D", "mean", dim_ordering="th"), old.dense_1("scores", 3))
    arrays = [old.dice(4, 3, 3, 3), old.dice(4, seed=2), old.dice(4, 3, seed=3), old.dice(3, seed=4)]
    told = list(zip(names.split(","), arrays, strict=True))
    return old.write_h5(path, config, {"conv": told[:2], "mean": [], "scores": told[2:]}, version="1.2.2",
                        **{"backend": None, **settings})


def theano_answer(images: old.Array, mirrored: bool) -> old.Array:
    """By NumPy alone; Theano pads one pixel on every side."""
    mapped = old.convolve(images, old.dice(4, 3, 3, 3), strides=2, pad=1, mirrored=mirrored)
    mapped = np.maximum(mapped + old.dice(4, seed=2)[:, None, None], 0).mean(axis=(2, 3))
    return old.softmax(mapped @ old.dice(4, 3, seed=3) + old.dice(3, seed=4))


def test_theano_mirrors_its_kernels(tf: Any, tmp_path: Path) -> None:
    """Keras 1 does not say that Theano trained a model; its variables' names do."""
    images = old.dice(5, 3, 7, 7, seed=9)
    model = keras_model.load(theano_file(tmp_path / "theano.h5"))
    np.testing.assert_allclose(model(last(images)), theano_answer(images, mirrored=True), atol=1e-5)
    names = "conv_W:0,conv_b:0,scores_W:0,scores_b:0"
    model = keras_model.load(theano_file(tmp_path / "tensorflow.h5", names=names))
    np.testing.assert_allclose(model(last(images)), theano_answer(images, mirrored=False), atol=1e-5)


def test_who_trained_it_must_be_told_where_no_name_says_it(tf: Any, tmp_path: Path) -> None:
    unnamed = theano_file(tmp_path / "m.h5", names="param_0,param_1,param_2,param_3")
    refused(ImportRefused, r"whether Theano or TensorFlow trained it(.|\n)*attrs\['backend'\] = 'theano'", unnamed)
    told = theano_file(tmp_path / "m.h5", names="param_0,param_1,param_2,param_3", backend="theano")
    images = old.dice(5, 3, 7, 7, seed=9)
    np.testing.assert_allclose(keras_model.load(told)(last(images)), theano_answer(images, mirrored=True), atol=1e-5)


# --- Keras 2


def mobile(path: Path, **settings: Any) -> Path:
    """As a MobileNet of 2018: DepthwiseConv2D of keras_applications, relu6 by name, what later Keras has dropped."""
    none = dict.fromkeys(("bias_regularizer", "activity_regularizer", "bias_constraint"), None)
    random = {"class_name": "VarianceScaling", "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform",
                                                          "seed": None, "dtype": "float32"}}
    common = {"kernel_size": [3, 3], "strides": [1, 1], "padding": "same", "data_format": "channels_last",
              "dilation_rate": [1, 1], "activation": "linear", "use_bias": False, "bias_initializer": random, **none}
    config = old.functional(
        old.layer("InputLayer", "input_1", batch_input_shape=[32, 6, 6, 3], dtype="float32", sparse=False),
        old.layer("DepthwiseConv2D", "conv_dw_1", depth_multiplier=1, depthwise_initializer=random, groups=1,
                  depthwise_regularizer=None, depthwise_constraint=None, **common),
        old.layer("BatchNormalizationV1", "conv_dw_1_bn", axis=[3], momentum=0.99, epsilon=0.001, center=True,
                  scale=True, fused=True, beta_initializer=random, gamma_initializer=random,
                  moving_mean_initializer=random, moving_variance_initializer=random),
        old.layer("Activation", "relu_1", activation="relu6"),
        old.layer("SeparableConv2D", "sep", filters=4, depth_multiplier=1, kernel_initializer=random,
                  kernel_regularizer=None, kernel_constraint=None, depthwise_initializer=random, groups=1,
                  pointwise_initializer=random, depthwise_regularizer=None, pointwise_regularizer=None,
                  depthwise_constraint=None, pointwise_constraint=None, **common),
        old.layer("Activation", "gate", activation="hard_sigmoid"),
        old.layer("GlobalAveragePooling2D", "pool", data_format="channels_last"),
        old.layer("Dropout", "drop", rate=0.5, noise_shape=None, seed=None),
        old.layer("Dense", "scores", units=3, activation="softmax", use_bias=True, kernel_initializer=random,
                  kernel_regularizer={"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.01}}, kernel_constraint=None,
                  bias_initializer=random, **none))
    arrays: old.Arrays = {name: [] for name in ("input_1", "relu_1", "gate", "pool", "drop")}
    arrays.update({
        "conv_dw_1": [("conv_dw_1/depthwise_kernel:0", old.dice(3, 3, 3, 1))],
        "conv_dw_1_bn": [(f"conv_dw_1_bn/{name}:0", np.abs(old.dice(3, seed=seed))) for seed, name in enumerate(
            ("gamma", "beta", "moving_mean", "moving_variance"), 2)],
        "sep": [("sep/depthwise_kernel:0", old.dice(3, 3, 3, 1, seed=6)),
                ("sep/pointwise_kernel:0", old.dice(1, 1, 3, 4, seed=7))],
        "scores": [("scores/kernel:0", old.dice(4, 3, seed=8)), ("scores/bias:0", old.dice(3, seed=9))],
    })
    return old.write_h5(path, config, arrays, **settings)


def mobile_answer(images: old.Array) -> old.Array:
    """By NumPy alone."""
    def depthwise(values: old.Array, kernel: old.Array) -> old.Array:
        maps = [old.convolve(values[:, [c]], kernel[None, None, :, :, c, 0], pad=1) for c in range(3)]
        return np.concatenate(maps, axis=1)

    gamma, beta, mean, variance = (np.abs(old.dice(3, seed=seed))[:, None, None] for seed in range(2, 6))
    mapped = depthwise(images.transpose(0, 3, 1, 2), old.dice(3, 3, 3, 1))
    mapped = np.clip((mapped - mean) / np.sqrt(variance + 0.001) * gamma + beta, 0, 6)
    mapped = depthwise(mapped, old.dice(3, 3, 3, 1, seed=6))
    mapped = np.einsum("nchw,cf->nfhw", mapped, old.dice(1, 1, 3, 4, seed=7)[0, 0])
    mapped = np.clip(0.2 * mapped + 0.5, 0, 1).mean(axis=(2, 3))
    return old.softmax(mapped @ old.dice(4, 3, seed=8) + old.dice(3, seed=9))


@pytest.mark.parametrize(
    "settings", [{"training": old.TRAINING}, {"split": True}, {"version": "2.1.6-tf"}, {"version": ""}]
)
def test_a_mobilenet_of_2018(tf: Any, tmp_path: Path, settings: dict[str, Any]) -> None:
    """Also with a loss and an optimizer that nobody has any more, and with its list of layers in two pieces."""
    images = old.dice(4, 6, 6, 3, seed=20)
    model = keras_model.load(mobile(tmp_path / "m.h5", **settings))
    np.testing.assert_allclose(model(images), mobile_answer(images), atol=1e-5)
    assert model.inputs[0].shape == (None, 6, 6, 3)


def test_the_mobilenet_is_one_for_keras_2_as_well(tf_keras: Any, tmp_path: Path) -> None:
    """What this file's writer and NumPy say of it, Keras 2 says, too."""
    images = old.dice(32, 6, 6, 3, seed=20)
    objects = {"relu6": tf_keras.layers.ReLU(6.0), "BatchNormalizationV1": tf_keras.layers.BatchNormalization}
    path = tmp_path / "m.h5"
    mobile(path)
    import h5py

    with h5py.File(path, "a") as file:  # as tf.keras 2 reads them: without the dtype that tf.keras 1 gave initializers
        config = file.attrs["model_config"].replace(', "dtype": "float32"}}', "}}").replace('"groups": 1, ', "")
        file.attrs["model_config"] = config
    model = tf_keras.models.load_model(path, custom_objects=objects, compile=False)
    np.testing.assert_allclose(model.predict(images, verbose=0), mobile_answer(images), atol=1e-5)


def transfer(keras: Any) -> Any:
    """A base called twice in a model, beside augmentation in a Sequential; layers with slashes in their names."""
    inner = keras.Input((8, 8, 3))
    a, b = keras.layers.Conv2D(4, 1, name="z/conv")(inner), keras.layers.Conv2D(4, 1, name="a/conv")(inner)
    b = keras.layers.Conv2D(4, 1, name="m/conv")(keras.layers.BatchNormalization(name="bn")(b))
    base = keras.Model(inner, keras.layers.GlobalAveragePooling2D()(keras.layers.Concatenate()([b, a])), name="base")
    base.trainable = False
    image = keras.Input((8, 8, 3))
    x = keras.Sequential([keras.layers.RandomFlip(), keras.layers.RandomRotation(0.1)], name="augment")(image)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(x)
    added = keras.layers.Add()([base(x), base(keras.layers.Activation("tanh")(x))])
    return keras.Model(image, keras.layers.Dense(3, activation="softmax")(added))


def stacked(keras: Any) -> Any:
    layers = keras.layers
    inner = [layers.SeparableConv2D(4, 3, activation=layers.LeakyReLU(0.1), input_shape=(8, 8, 3)),
             layers.DepthwiseConv2D(3, activation="hard_sigmoid")]
    return keras.Sequential([
        keras.Sequential(inner), layers.ThresholdedReLU(0.2), layers.PReLU(shared_axes=[1, 2]),
        layers.SpatialDropout2D(0.1), layers.LayerNormalization(), layers.Conv2DTranspose(3, 3, strides=2),
        layers.UpSampling2D(2, interpolation="bilinear"), layers.ZeroPadding2D(((1, 0), (2, 1))),
        layers.Reshape((-1, 3)), layers.TimeDistributed(layers.Dense(2)), layers.Flatten(),
        layers.Dense(3, dtype="float64")])


def first(keras: Any) -> Any:
    """With a Flatten that puts the channels last itself; Keras 2 cannot run the convolution on a CPU."""
    layers = keras.layers
    return keras.Sequential([
        layers.Conv2D(4, 3, data_format="channels_first", input_shape=(3, 8, 6)), layers.BatchNormalization(axis=1),
        layers.Flatten(data_format="channels_first"), layers.Dense(3)])


@pytest.mark.parametrize("build", [transfer, stacked])
def test_what_keras_3_alone_does_not_load(tf_keras: Any, tmp_path: Path, build: Callable[[Any], Any]) -> None:
    """Saved by Keras 2 itself, as one file and in two."""
    model = build(tf_keras)
    dice = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(np.abs(dice.normal(size=variable.shape)) * 0.3 + 0.1)
    images = dice.uniform(0, 255, (4, 8, 8, 3)).astype(np.float32)
    answers = np.asarray(model(images, training=False))
    model.compile("adam", "mse")
    model.save(tmp_path / "m.h5")
    model.save_weights(tmp_path / "w.h5")
    (tmp_path / "m.json").write_text(model.to_json())
    for name, weights in (("m.h5", None), ("m.json", tmp_path / "w.h5")):
        found = keras_model.load(tmp_path / name, weights=weights)
        np.testing.assert_allclose(found(images), answers, rtol=1e-5, atol=1e-5)
        assert type(found).__module__.startswith("keras.")
        assert "FrozenGraph" not in {type(layer).__name__ for layer in found.layers}


def test_channels_first_in_keras_2(tf_keras: Any, tmp_path: Path) -> None:
    model = first(tf_keras)
    model.save(tmp_path / "m.h5")
    kernel, bias, *_ = [value.numpy() for value in model.weights]
    images = old.dice(4, 3, 8, 6)
    mapped = old.convolve(images, kernel.transpose(3, 2, 0, 1)) + bias[:, None, None]
    dense, _ = (value.numpy() for value in model.layers[-1].weights)
    expected = last(mapped / np.sqrt(1.001)).reshape(4, -1) @ dense
    np.testing.assert_allclose(keras_model.load(tmp_path / "m.h5")(last(images)), expected, atol=1e-5)


# --- the last resort


def only_keras_2(keras: Any) -> Any:
    image = keras.Input((8, 8, 3))
    x = keras.layers.LocallyConnected2D(3, 3)(image / 127.5 - 1)
    return keras.Model(image, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x)))


@pytest.mark.parametrize("ending", ["h5", "json", "keras"])
def test_tf_keras_loads_what_keras_3_has_no_layer_for(tf_keras: Any, tmp_path: Path, ending: str) -> None:
    model = only_keras_2(tf_keras)
    images = old.dice(4, 8, 8, 3)
    path, weights = tmp_path / f"m.{ending}", tmp_path / "w.h5"
    if ending == "json":
        path.write_text(model.to_json())
        model.save_weights(weights)
    else:
        model.save(path)
    found = keras_model.save_as_keras(str(path), str(tmp_path / "made.keras"),
                                      weights=str(weights) if ending == "json" else None)
    assert found["notes"][0].startswith("it was loaded by tf-keras and frozen, since ")
    assert found["activation"] == "softmax"
    made = keras_model.load(tmp_path / "made.keras")
    np.testing.assert_allclose(made(images), model(images), atol=1e-6)


def test_without_tf_keras_it_is_asked_for(tf_keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_keras_2(tf_keras).save(tmp_path / "m.h5")
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    refused(ImportRefused, r"Keras 3 cannot load .*m\.h5: the layer .* is a .*, which Keras 3 does not have\.\n"
            ".*pip install tf-keras$", tmp_path / "m.h5")


# --- what cannot be


def refused(error: type[EdgekitError], reason: str, path: Path, **arguments: Any) -> None:
    before = path.read_bytes()
    with pytest.raises(EdgekitError, match=reason) as caught:
        keras_model.load(path, **arguments)
    assert type(caught.value) is error
    assert len(str(caught.value).splitlines()) <= 2
    assert path.read_bytes() == before


def image(**config: Any) -> old.Config:
    return old.layer("InputLayer", "image", batch_input_shape=[None, 3, 8, 8], input_dtype="float32", **config)


def merge(**config: Any) -> old.Config:
    return old.layer("Merge", "joined", **{"mode": "sum", "mode_type": "raw", "concat_axis": -1, **config})


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ([old.layer("Highway", "way", batch_input_shape=[None, 4])], "'way' is a Highway, which no Keras of today"),
        ([image(), old.layer("BatchNormalization", "bn", mode=2, axis=1)], "'bn' normalises in the mode 1 or 2"),
        ([image(), old.convolution_1("c", 4, 3, border_mode="full")], "border_mode='full', which only Theano had"),
        ([merge(layers=[])], "begins with several models that each take an input"),
        ([image(), merge(mode="my_merge", mode_type="function")], "merges with a function of its author, 'my_merge'"),
        ([image(), old.convolution_1("c", 4, 3), old.convolution_1("d", 4, 3, dim_ordering="tf")],
         "layers with the channels first and others with the channels last"),
        ([image(), old.convolution_1("c", 4, 3), old.layer("RepeatVector", "r", n=2)],
         r"takes the channels first, and edgekit cannot turn its layer 'r' \(RepeatVector\) around"),
        ([old.convolution_1("c", 4, 3)], "does not say the shape of its input"),
        ([image(sparse=True)], "takes sparse or ragged tensors"),
        ([], "without layers"),
        ([image(), old.layer("Convolution2E", "c")], "a class that this Keras does not have: Convolution2E"),
        ([image(), old.layer("LSTM", "l", output_dim=3, inner_activation="hard_sigmoid", inner_init="orthogonal",
                             consume_less="cpu")], "a recurrent layer of Keras 1"),
    ],
)
def test_what_cannot_be_brought_over(tf: Any, tmp_path: Path, config: Any, reason: str) -> None:
    path = old.write_h5(tmp_path / "m.h5", old.sequential_1(*config), {}, version="1.2.2", backend=None)
    refused(ImportRefused, reason, path)


def test_weights_of_another_model(tf: Any, tmp_path: Path) -> None:
    dense = old.layer("Dense", "scores", units=3, batch_input_shape=[None, 4])
    path = tmp_path / "m.json"
    path.write_text(json.dumps({**old.sequential_1(dense), "keras_version": "2.1.0"}))
    kernel, bias = ("scores/kernel:0", old.dice(4, 3)), ("scores/bias:0", old.dice(3))
    other = ("other/kernel:0", old.dice(2, 2))
    for arrays, reason in (
            ({"scores": [kernel, bias], "more": [other]}, "the file has some for 'more', a layer that is not in the"),
            ({"scores": [kernel]}, r"do not fit the layer 'scores': it has 2 arrays, and the file has 1"),
            ({"scores": [("scores/kernel:0", old.dice(5, 3)), bias]}, r"the shape \(4, 3\), and the file has \(5, 3\)"),
            ({}, "it has weights for 1 layers, and the file for 0")):
        refused(ImportRefused, reason, path, weights=old.write_h5(tmp_path / "w.h5", None, arrays))
    dense_7 = [("dense_7/kernel:0", kernel[1]), ("dense_7/bias:0", bias[1])]
    renamed = old.write_h5(tmp_path / "w.h5", None, {"dense_7": dense_7})
    x = old.dice(2, 4)
    np.testing.assert_allclose(keras_model.load(path, weights=renamed)(x), x @ kernel[1] + bias[1], atol=1e-6)


def test_weights_from_before_keras_1(tf: Any, tmp_path: Path) -> None:
    path = theano_file(tmp_path / "m.h5")
    import h5py

    with h5py.File(path, "a") as file:
        file["model_weights"].attrs["nb_layers"] = 3
    refused(ImportRefused, "from before Keras 1.0", path)


def test_an_array_that_is_missing(tf: Any, tmp_path: Path) -> None:
    path = mobile(tmp_path / "m.h5")
    import h5py

    with h5py.File(path, "a") as file:
        del file["model_weights/scores/scores/bias:0"]
    refused(ModelFileError, r"damaged: the array 'scores/bias:0' is missing", path)
