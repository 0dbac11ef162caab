"""A model that takes its channels first, as one that takes them last. Pure Python, no Keras.

Theano and early GPU models lay images out as channels x height x width; TFLite and TensorFlow on a CPU compute on
height x width x channels. Convolutions, poolings and what works on single values do the same in both layouts; axes are
renumbered; and a layer for which the order of the values counts (Flatten, Reshape, Permute, Dense) gets them in the old
order from a Permute layer in front. So no weights change but convolution kernels of Keras 1 and the slopes of PReLU
(`edgekit.importers.legacy_weights`).
"""

from __future__ import annotations

from typing import Any

from edgekit.core.errors import ImportRefused
from edgekit.importers import legacy_graph
from edgekit.importers.legacy_graph import Config
from edgekit.runtime.spec import printable

_TO_FIRST, _TO_LAST = [3, 1, 2], [2, 3, 1]  # as Permute counts: from 1, without the batch
_AXES = {0: 0, 1: 3, 2: 1, 3: 2, -1: 2, -2: 1, -3: 3, -4: 0}

_SPATIAL = frozenset({
    "Conv2D", "Conv2DTranspose", "SeparableConv2D", "DepthwiseConv2D", "MaxPooling2D", "AveragePooling2D",
    "UpSampling2D", "ZeroPadding2D", "Cropping2D",
})
_POOLED = frozenset({"GlobalAveragePooling2D", "GlobalMaxPooling2D"})
_BY_VALUE = frozenset({
    "Activation", "ReLU", "LeakyReLU", "ELU", "Dropout", "Identity", "Add", "Subtract", "Multiply", "Average",
    "Maximum", "Minimum",
})
_BY_AXIS = frozenset({"BatchNormalization", "Concatenate", "Softmax"})
_IN_OLD_ORDER = frozenset({"Flatten", "Reshape", "Permute", "Dense"})


def convert(config: Config, name: str) -> bool:
    """Change a functional model in place (see `legacy_graph`); False, and nothing is changed, if it needs no change.

    A layer that does not say its layout (Keras 1 saves that of some layers only) has the one of the others.

    Raises:
        ImportRefused: layers of both layouts, or one that cannot be turned around.
    """
    formats = {layer["config"].get("data_format") for layer in legacy_graph.leaves(config)
               if layer["class_name"] in _SPATIAL | _POOLED}
    if "channels_first" not in formats:
        return False
    if "channels_last" in formats:
        raise ImportRefused(f"{name} has layers with the channels first and others with the channels last.",
                            "Rebuild it with one data_format for all.")
    _convert(config, name)
    return True


def _convert(config: Config, name: str) -> int:
    """Convert one model; returns the rank of its first output, batch included."""
    ranks: dict[str, int] = {}
    waiting = list(config["layers"])
    while waiting:
        ready = [layer for layer in waiting
                 if all(reference[0] in ranks for node in layer["inbound_nodes"] for reference in node)]
        if not ready:
            raise ImportRefused(f"{name} has layers that wait for each other.")
        for layer in ready:
            taken = {ranks[reference[0]] for node in layer["inbound_nodes"] for reference in node}
            last, rank = _convert_layer(config, layer, taken, name)
            ranks[layer["name"]] = ranks[last["name"]] = rank
        waiting = [layer for layer in waiting if layer["name"] not in ranks]
    return ranks[config["output_layers"][0][0]]


def _convert_layer(config: Config, layer: Config, taken: set[int], name: str) -> tuple[Config, int]:
    """Convert a layer that takes tensors of these ranks; returns the layer that now gives its output, and its rank."""
    class_name, settings = layer["class_name"], layer["config"]
    if legacy_graph.is_model(layer):
        return layer, _convert(settings, name)
    if class_name == "InputLayer":
        shape = settings["batch_input_shape"]
        if len(shape) == 4:
            settings["batch_input_shape"] = [shape[0], *shape[2:], shape[1]]
        return layer, len(shape)
    if len(taken) != 1:
        raise _refused(name, layer)
    rank = _rank(layer, *taken)
    if taken != {4}:
        if rank != 4:
            return layer, rank
        if class_name != "Reshape":
            raise _refused(name, layer)
        return legacy_graph.insert_after(config, layer, "Permute", "channels_last", dims=_TO_LAST), rank
    if settings.get("activation") == "softmax" and class_name != "Dense":
        raise _refused(name, layer)
    if class_name in _SPATIAL | _POOLED:
        settings["data_format"] = "channels_last"
    elif class_name in _BY_AXIS:
        axis = settings.get("axis", -1)
        if axis not in _AXES:
            raise _refused(name, layer)
        settings["axis"] = _AXES[axis]
    elif class_name == "PReLU":
        settings["shared_axes"] = [_AXES[axis] for axis in settings.get("shared_axes") or ()] or None
    elif class_name in _IN_OLD_ORDER:
        if class_name != "Flatten" or settings.get("data_format") != "channels_first":
            # Flatten of Keras 2 with data_format="channels_first" puts the channels last itself.
            legacy_graph.insert_before(config, layer, "Permute", "channels_first", dims=_TO_FIRST)
        if class_name == "Flatten":
            settings.pop("data_format", None)
        if rank == 4:
            return legacy_graph.insert_after(config, layer, "Permute", "channels_last", dims=_TO_LAST), rank
    elif class_name not in _BY_VALUE:
        raise _refused(name, layer)
    return layer, rank


def _rank(layer: Config, taken: int) -> int:
    class_name, settings = layer["class_name"], layer["config"]
    if class_name == "Flatten" or (class_name in _POOLED and not settings.get("keepdims")):
        return 2
    if class_name == "Reshape":
        return 1 + len(settings["target_shape"])
    return {"RepeatVector": 3}.get(class_name, taken)


def _refused(name: str, layer: Any) -> ImportRefused:
    what = printable(f"{layer['name']!r} ({layer['class_name']})")[:200]
    return ImportRefused(f"{name} takes the channels first, and edgekit cannot turn its layer {what} around.",
                         "Rebuild it with data_format='channels_last'.")
