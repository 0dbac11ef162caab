"""The anatomy of a `.keras` file, from its configuration and the shapes of its weights; no Keras."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.core.anatomy.result import Anatomy, Tensor, Weight, assemble, clean
from edgekit.core.errors import MissingExtraError, ModelFileError
from edgekit.runtime.spec import printable

MAX_CONFIG_BYTES = 64 << 20


def read(path: Path) -> Anatomy:
    """Read the file at `path`; on a damaged one any exception. It does not say what the outputs are."""
    with zipfile.ZipFile(path) as archive:
        with archive.open("config.json") as member:
            text = member.read(MAX_CONFIG_BYTES + 1)
        if len(text) > MAX_CONFIG_BYTES:
            raise ModelFileError(f"The configuration in {printable(str(path))} is larger than "
                                 f"{MAX_CONFIG_BYTES >> 20} MB.")
        model = json.loads(text)
        layers = list(_layers(model))
        classes = {layer["config"].get("name", ""): layer["class_name"] for layer in layers}
        weights = _weights(archive, classes)
    inputs = [_input(layer) for layer in model["config"].get("layers", ()) if layer["class_name"] == "InputLayer"]
    return assemble(path, "keras", inputs, (), Counter(clean(layer["class_name"]) for layer in layers), weights, None)


def _layers(model: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The layers of a model and of the models in it, not the models themselves; a subclassed model is one layer."""
    if "layers" not in model["config"]:
        yield model
    for layer in model["config"].get("layers", ()):
        yield from _layers(layer)


def _input(layer: dict[str, Any]) -> Tensor:
    config = layer["config"]
    return Tensor(clean(config["name"]), clean(config["dtype"]), tuple(config["batch_shape"]))


def _weights(archive: zipfile.ZipFile, classes: dict[str, str]) -> list[Weight]:
    """The variables of the layers; those of the optimizer and of random generators are no weights.

    In model.weights.h5 a layer's group has a group `vars` with its variables 0, 1, … and the layer's name as an
    attribute. A part of a layer (the cell of an RNN) that the configuration does not name belongs to that layer.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("Inspecting a .keras file", "keras", "h5py") from error
    weights: list[Weight] = []
    with archive.open("model.weights.h5") as stream, h5py.File(stream, "r") as file:

        def visit(name: str, item: Any) -> None:
            if not isinstance(item, h5py.Dataset) or "/" not in name:
                return
            *folders, container, index = name.split("/")
            if container != "vars" or folders[:1] == ["optimizer"] or "seed_generator" in folders:
                return
            layer, op = "", ""
            for depth in range(len(folders) + 1):
                group = file.get("/".join([*folders[:depth], "vars"]))
                layer = str(group.attrs.get("name", "")) if group is not None else layer
                op = classes.get(layer, op)
            weights.append(Weight(clean(f"{layer or folders[-1]}/{index}"), clean(op), str(item.dtype),
                                  tuple(item.shape), item.size * item.dtype.itemsize))

        file.visititems(visit)
    return weights
