"""The weights in HDF5 files of Keras 1 and Keras 2, and how they go into a model of Keras 3. Runs in a child process.

Such a file lists its layers (`layer_names`) and for each layer its arrays (`weight_names`), the trainable ones first.
The layers are matched by their names; only where the names of file and architecture differ does their order decide, as
in Keras. Large lists of names are split: layer_names0, layer_names1, …

Sources: `save_weights_to_hdf5_group` in keras/engine/topology.py (1.2.2); `preprocess_weights_for_loading` in
keras/engine/saving.py (2.2.4), which says how the arrays of Keras 1 and of Theano differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import ImportRefused, ModelFileError
from edgekit.importers.legacy_graph import layer_name
from edgekit.runtime.spec import printable

_USE_YOURS = "Use the weights that belong to this architecture."
# The last part of an array's name in Keras 1, as in dense_1_W, and what Keras 2 and 3 call it.
_KERAS_1_NAMES = {"W": "kernel", "b": "bias", "gamma": "gamma", "beta": "beta", "running_mean": "moving_mean",
                  "running_std": "moving_variance", "depthwise_kernel": "depthwise_kernel",
                  "pointwise_kernel": "pointwise_kernel", "alphas": "alpha"}


@dataclass(frozen=True)
class Saved:
    """A file's arrays by layer, each with its name, in the order of the file.

    `backend` is what trained them (theano, tensorflow, cntk), empty where the file does not tell.
    """

    layers: dict[str, list[tuple[str, NDArray[Any]]]]
    keras_1: bool
    backend: str

    @property
    def theano(self) -> bool:
        """Whether kernels are those of a true convolution, which mirrors them."""
        return self.backend == "theano"


def read(path: Path, keras_1: bool) -> Saved:
    """Read a checked HDF5 file, a whole model or weights only.

    Args:
        keras_1: whether the architecture is one of Keras 1; the file's own `keras_version` goes before it.

    Raises:
        ModelFileError: arrays are missing.
        ImportRefused: written by a Keras of 2015, whose files do not name their layers.
    """
    import h5py

    name = printable(str(path))
    with h5py.File(path, "r") as file:
        group = file.get("model_weights", file)
        version = _text(group.attrs.get("keras_version", file.attrs.get("keras_version", "")))
        keras_1 = version.startswith(("0", "1")) if version else keras_1
        if "nb_layers" in group.attrs:
            raise ImportRefused(f"{name} is from before Keras 1.0: its weights do not say which layer they belong to.",
                                "Load it with the Keras that wrote it, and save it again with Keras 1.2 or 2.")
        layers: dict[str, list[tuple[str, NDArray[Any]]]] = {}
        for layer in _names(group, "layer_names"):
            arrays = layers.setdefault(layer_name(layer), [])
            for array in _names(group[layer], "weight_names") if layer in group else ():
                if array not in group[layer]:
                    raise ModelFileError(f"{name} is damaged: the array {printable(array)[:100]!r} is missing.",
                                         "Save the model again, or get a complete copy of the file.")
                arrays.append((array, np.asarray(group[layer][array])))
        backend = _text(group.attrs.get("backend", file.attrs.get("backend", "")))
    return Saved(layers, keras_1, backend or _backend(layers, keras_1))


def _backend(layers: dict[str, list[tuple[str, NDArray[Any]]]], keras_1: bool) -> str:
    """Keras 1 does not save it, but a TensorFlow variable's name ends in ":0", and a Theano variable's does not."""
    names = [name for arrays in layers.values() for name, _ in arrays]
    if not keras_1 or not names or any(name.startswith("param_") for name in names):
        return ""
    return "tensorflow" if all(name.endswith(":0") for name in names) else "theano"


def _names(group: Any, key: str) -> Iterator[str]:
    if key in group.attrs:
        yield from map(_text, group.attrs[key])
        return
    number = 0
    while f"{key}{number}" in group.attrs:
        yield from map(_text, group.attrs[f"{key}{number}"])
        number += 1


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def assign(model: Any, saved: Saved, order: list[str], name: str, channels_first: bool) -> None:
    """Put the arrays into a built model.

    Args:
        order: the names of the model's layers in the order of its file.
        channels_first: the architecture took its channels first before `legacy_config.modernize`.

    Raises:
        ImportRefused: they do not fit.
    """
    for layer, arrays in _matched(model, saved, order, name):
        owners = list(_variables(layer))
        variables = [variable for _, variable in sorted(owners, key=lambda pair: not pair[1].trainable)]
        owner = {id(variable): part for part, variable in owners}
        for variable, array in _paired(layer, variables, owner, arrays, name):
            value = _converted(owner[id(variable)], variable, array, saved, channels_first)
            if tuple(variable.shape) != value.shape:
                raise ImportRefused(f"{name}: the weights do not fit the layer {printable(layer.name)[:100]!r}: it has"
                                    f" the shape {tuple(variable.shape)}, and the file has {value.shape}.", _USE_YOURS)
            variable.assign(value)
        for part in {id(part): part for part, _ in owners}.values():
            if hasattr(part, "finalize_state"):
                part.finalize_state()


def _matched(model: Any, saved: Saved, order: list[str], name: str) -> list[tuple[Any, list[tuple[str, NDArray[Any]]]]]:
    """Pairs of a layer and its arrays."""
    left = {layer: arrays for layer, arrays in saved.layers.items() if arrays}
    pairs, missing = [], []
    waiting = list(model.layers)
    while waiting:
        layer = waiting.pop(0)
        if not layer.weights:
            continue
        if layer.name in left:
            pairs.append((layer, left.pop(layer.name)))
        elif getattr(layer, "layers", None):  # Keras 1 lists them as if they were those of the outer Sequential
            waiting = [*layer.layers, *waiting]
        else:
            missing.append(layer)
    if not missing and not left:
        return pairs
    layers = [layer for called in order if (layer := model.get_layer(called)).weights]
    arrays = [found for found in saved.layers.values() if found]
    if len(layers) == len(arrays):
        return list(zip(layers, arrays, strict=True))
    told = f"it has weights for {len(layers)} layers, and the file for {len(arrays)}"
    if missing and len(left) != len(arrays):
        told = f"the file has none for the layer {printable(missing[0].name)[:100]!r}"
    elif not missing:
        told = f"the file has some for {printable(next(iter(left)))[:100]!r}, a layer that is not in the architecture"
    raise ImportRefused(f"{name}: the weights do not fit: {told}.", _USE_YOURS)


def _variables(layer: Any) -> Iterator[tuple[Any, Any]]:
    """The variables of a layer, each with the innermost layer that has it, in the order of the layers."""
    inner = getattr(layer, "layers", None) or [
        part for key in ("layer", "forward_layer", "backward_layer") if (part := getattr(layer, key, None)) is not None]
    if not inner:
        yield from ((layer, variable) for variable in layer.weights)
    for part in inner:
        yield from _variables(part)


def _paired(layer: Any, variables: list[Any], owner: dict[int, Any], arrays: list[tuple[str, NDArray[Any]]],
            name: str) -> list[tuple[Any, NDArray[Any]]]:
    """Pairs of a variable and its array: by name where all names agree, else by order."""
    by_name = {(owner[id(variable)].name, variable.name): variable for variable in variables}
    single = len({part for part, _ in by_name}) == 1
    keys = [_key(array, [part for part, _ in by_name]) for array, _ in arrays]
    if single:
        keys = [(next(iter(by_name))[0], leaf) for _, leaf in keys]
    if len(by_name) == len(variables) and sorted(keys) == sorted(by_name):
        return [(by_name[key], array) for key, (_, array) in zip(keys, arrays, strict=True)]
    if len(variables) != len(arrays):
        raise ImportRefused(f"{name}: the weights do not fit the layer {printable(layer.name)[:100]!r}: it has"
                            f" {len(variables)} arrays, and the file has {len(arrays)}.", _USE_YOURS)
    return list(zip(variables, (array for _, array in arrays), strict=True))


def _key(name: str, layers: list[str]) -> tuple[str, str]:
    """Layer and kind of an array: of "conv/kernel:0", or of "conv_W:0" in Keras 1."""
    *parts, leaf = name.partition(":")[0].split("/")
    for start in range(len(parts)):
        if "_".join(parts[start:]) in layers:
            return "_".join(parts[start:]), leaf
    for layer in layers:
        if leaf.startswith(f"{layer}_") and leaf[len(layer) + 1 :] in _KERAS_1_NAMES:
            return layer, _KERAS_1_NAMES[leaf[len(layer) + 1 :]]
    return "", leaf


def _converted(layer: Any, variable: Any, array: NDArray[Any], saved: Saved, channels_first: bool) -> NDArray[Any]:
    """The array as Keras 3 lays it out."""
    class_name = type(layer).__name__
    if class_name == "PReLU" and channels_first and array.ndim == 3:
        return array.transpose(1, 2, 0)
    if variable.name != "kernel" or class_name not in ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose"):
        return array
    if saved.keras_1:
        if class_name == "Conv1D" and array.ndim == 4:
            if array.shape[1] != 1:  # Keras 1.1: filters, channels, length, 1
                array = array.transpose(2, 3, 1, 0)
            array = array[:, 0]
        elif class_name == "Conv2DTranspose" and array.ndim == 4:
            array = array.transpose(2, 3, 0, 1) if channels_first else array.transpose(0, 1, 3, 2)
        elif channels_first and array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        elif channels_first and array.ndim == 5:
            array = array.transpose(2, 3, 4, 1, 0)
    if saved.theano:
        array = np.flip(array, axis=tuple(range(array.ndim - 2)))
    return array
