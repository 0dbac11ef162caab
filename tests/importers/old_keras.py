"""Writes files as Keras 1 and Keras 2 did, byte strings and all, with h5py alone; and computes what they must answer.

Files that Keras 1.2.2 itself wrote are in tests/fixtures/old_keras. The formats: `save_model` in keras/models.py
(1.2.2), `save_weights_to_hdf5_group` in keras/engine/saving.py (2.2.4).
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Config = dict[str, Any]
Array = NDArray[np.float32]
Arrays = dict[str, list[tuple[str, Array]]]

# What Keras 2.2 saved of a compiled model, with an optimizer of its author that no other Keras knows.
TRAINING = {
    "optimizer_config": {"class_name": "LookaheadNadam", "config": {"lr": 0.002, "schedule_decay": 0.004, "k": 5}},
    "loss": "my_focal_loss", "metrics": ["accuracy", "my_top_3"], "sample_weight_mode": None, "loss_weights": None,
}


def write_h5(
    path: Path, config: Config | None, arrays: Arrays, *, version: str = "2.2.4", backend: str | None = "tensorflow",
    training: Config | None = None, split: bool = False,
) -> Path:
    """A whole model, or its weights alone without `config`. `split` lists the layers in two attributes, as for many."""
    import h5py

    with h5py.File(path, "w") as file:
        group = file
        if config is not None:
            file.attrs["model_config"] = json.dumps(config).encode()
            group = file.create_group("model_weights")
        for place in {file, group} if not version.startswith("1") else {file}:
            if version:
                place.attrs["keras_version"] = version.encode()
            if backend is not None:
                place.attrs["backend"] = backend.encode()
        names = [name.encode() for name in arrays]
        if split:
            group.attrs["layer_names0"], group.attrs["layer_names1"] = names[:2], names[2:]
        else:
            group.attrs["layer_names"] = names
        for layer, entries in arrays.items():
            part = group.create_group(layer)
            part.attrs["weight_names"] = [name.encode() for name, _ in entries]
            for name, array in entries:
                part[name] = array
        if training is not None:
            file.attrs["training_config"] = json.dumps(training).encode()
            state = file.create_group("optimizer_weights")
            state.attrs["weight_names"] = [b"training/LookaheadNadam/iterations:0"]
            state["training/LookaheadNadam/iterations:0"] = np.int64(3)
    return path


def sequential_1(*layers: Config) -> Config:
    """A Sequential of Keras 1: its configuration is a list."""
    return {"class_name": "Sequential", "config": list(layers)}


def layer(class_name: str, name: str, **config: Any) -> Config:
    trainable = {} if class_name == "InputLayer" else {"trainable": True}
    return {"class_name": class_name, "config": {"name": name, **trainable, **config}}


def functional(*chain: Config, **nodes: list[Any]) -> Config:
    """A functional model of Keras 2.2 of layers one after the other; `nodes` are other inbound nodes by layer."""
    layers = []
    for before, entry in zip([None, *chain], chain, strict=False):
        name = entry["config"]["name"]
        plain = [] if before is None else [[[before["config"]["name"], 0, 0, {}]]]
        layers.append({**entry, "name": name, "inbound_nodes": nodes.get(name, plain)})
    ends = [[[layers[index]["name"], 0, 0]] for index in (0, -1)]
    return {"class_name": "Model", "config": {"name": "model_1", "layers": layers, "input_layers": ends[0],
                                              "output_layers": ends[1]}}


# --- two layers of Keras 1.2.2, with all that their get_config gives


def convolution_1(name: str, filters: int, side: int, **config: Any) -> Config:
    return layer("Convolution2D", name, **{
        "nb_filter": filters, "nb_row": side, "nb_col": side, "init": "glorot_uniform", "activation": "linear",
        "border_mode": "valid", "subsample": [1, 1], "dim_ordering": "th", "b_regularizer": None,
        "W_regularizer": {"name": "WeightRegularizer", "l1": 0.0, "l2": 0.0005}, "activity_regularizer": None,
        "W_constraint": None, "b_constraint": None, "bias": True, **config})


def dense_1(name: str, units: int, **config: Any) -> Config:
    return layer("Dense", name, **{"output_dim": units, "init": "glorot_uniform", "activation": "softmax", "bias": True,
                                   "W_regularizer": None, "b_regularizer": None, "activity_regularizer": None,
                                   "W_constraint": None, "b_constraint": None, "input_dim": None, **config})


# --- what they compute


def convolve(images: Array, kernel: Array, *, strides: int = 1, pad: int = 0, mirrored: bool = False) -> Array:
    """[N, C, H, W] with a kernel of Theano's layout [filters, C, rows, columns]; `mirrored` as Theano does it."""
    if mirrored:
        kernel = kernel[:, :, ::-1, ::-1]
    images = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    rows, columns = kernel.shape[2:]
    height, width = (images.shape[2] - rows) // strides + 1, (images.shape[3] - columns) // strides + 1
    made = np.zeros((len(images), len(kernel), height, width), np.float32)
    for y, x in itertools.product(range(height), range(width)):
        window = images[:, :, y * strides : y * strides + rows, x * strides : x * strides + columns]
        made[:, :, y, x] = np.einsum("ncij,fcij->nf", window, kernel)
    return made


def softmax(values: Array) -> Array:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    found: Array = (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)
    return found


def dice(*shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
