"""The graph of a Keras 1 or Keras 2 model configuration, in one form that can be edited. Pure Python, no Keras.

Sequential models become functional ones, nested models included, and the calls of a layer are counted from 0. (Keras 1
and 2 count those of a nested model from 1, since it has a call of its own from when it was built; Keras 3 counts them
from 0 where a layer takes them and from 1 where a model gives them out.) Source: `get_config` and `from_config` of
`Container` in keras/engine/topology.py (1.2.2), of `Network` in keras/engine/network.py (2.2.4) and of `Functional` in
keras/src/models/functional.py (3.15).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgekit.core.errors import ImportRefused
from edgekit.runtime.spec import printable

Config = dict[str, Any]
Reference = list[Any]  # [layer's name, number of its call, number of its output, arguments of the call]

NO_INPUT = "Start the model with keras.Input(shape=…) and save it again."


def is_model(layer: Config) -> bool:
    """Whether the entry is a whole model: of Keras' own classes, since others may compute something else."""
    return layer.get("class_name") in ("Sequential", "Functional", "Model", "Network")


def layer_name(name: str) -> str:
    """A layer's name as Keras 3 takes it, which wants no slash in it."""
    return name.replace("/", "_")


def functional(model: Config, name: str) -> Config:
    """The model {class_name, config} as {"class_name": "Functional", "config": …}, its layers named by `layer_name`.

    Raises:
        ImportRefused: it does not say its input, or is no such model.
    """
    if model["class_name"] == "Sequential":
        return {"class_name": "Functional", "config": _chained(model["config"], name)}
    config = model["config"]
    if not isinstance(config, dict) or not {"layers", "input_layers", "output_layers"} <= config.keys():
        raise ImportRefused(f"{name} has a model {_quoted(config)} whose layers are in its code, not in the file.",
                            "Where it was made, export it as a SavedModel (model.export), and import that.")
    layers = []
    for layer in config["layers"]:
        made = functional(layer, name) if is_model(layer) else layer
        layers.append({**_named(made, layer["name"]),
                       "inbound_nodes": [_node(node, name) for node in layer["inbound_nodes"]]})
    ends = {key: _references(config[key], name) for key in ("input_layers", "output_layers")}
    made = {"name": layer_name(config.get("name") or "model"), "layers": layers, **ends}
    for layer in layers:
        if is_model(layer):
            _count_from_0(made, layer["name"])
    return {"class_name": "Functional", "config": made}


def for_keras_3(config: Config) -> Config:
    """The configuration of a functional model, changed in place, with calls counted as Keras 3 does."""
    models = {layer["name"] for layer in config["layers"] if is_model(layer)}
    for layer in config["layers"]:
        if is_model(layer):
            for_keras_3(layer["config"])
    for reference in config["output_layers"]:
        reference[1] += reference[0] in models
    for key in ("input_layers", "output_layers"):
        ends = [reference[:3] for reference in config[key]]
        config[key] = ends[0] if len(ends) == 1 else ends
    return config


def leaves(config: Config) -> Iterator[Config]:
    """All layers but the models, those of nested models included."""
    for layer in config["layers"]:
        if is_model(layer):
            yield from leaves(layer["config"])
        else:
            yield layer


def insert_before(config: Config, layer: Config, class_name: str, suffix: str, **settings: Any) -> None:
    """Put a new layer in front of a layer with one input."""
    made = _made(config, layer, class_name, suffix, settings)
    made["inbound_nodes"] = layer["inbound_nodes"]
    layer["inbound_nodes"] = [[[made["name"], call, 0, {}]] for call in range(len(made["inbound_nodes"]))]
    config["layers"].insert(_place(config, layer), made)


def insert_after(config: Config, layer: Config, class_name: str, suffix: str, **settings: Any) -> Config:
    """Put a new layer behind a layer; whatever took the layer's output takes that of the new one, which is returned."""
    made = _made(config, layer, class_name, suffix, settings)
    for reference in _all_references(config):
        if reference[0] == layer["name"]:
            reference[0] = made["name"]
    made["inbound_nodes"] = [[[layer["name"], call, 0, {}]] for call in range(len(layer["inbound_nodes"]))]
    config["layers"].insert(_place(config, layer) + 1, made)
    return made


def _place(config: Config, layer: Config) -> int:
    return next(index for index, other in enumerate(config["layers"]) if other is layer)


def _made(config: Config, layer: Config, class_name: str, suffix: str, settings: Config) -> Config:
    name = _free(config, f"{layer['name']}_{suffix}")
    return {"class_name": class_name, "name": name, "config": {"name": name, **settings}, "inbound_nodes": []}


def _free(config: Config, name: str) -> str:
    taken = {layer["name"] for layer in config["layers"]}
    while name in taken:
        name += "_"
    return name


def _chained(config: Any, name: str) -> Config:
    """A Sequential's configuration (in Keras 1 and early Keras 2 a bare list of layers) as a functional one."""
    own, entries = ({}, config) if isinstance(config, list) else (config, config["layers"])
    layers: list[Config] = []
    for number, entry in enumerate(entries):
        made = functional(entry, name) if is_model(entry) else entry
        inner = made["config"]
        called = inner.get("name") if isinstance(inner, dict) else None
        called = called if isinstance(called, str) else f"layer_{number}"
        layers.append(_named(made, called))
    if not layers:
        raise ImportRefused(f"{name} has a model {_quoted(own)} without layers.")
    if layers[0]["class_name"] == "Merge":
        raise ImportRefused(f"{name} begins with several models that each take an input; edgekit takes one image.")
    if layers[0]["class_name"] != "InputLayer":
        shape = _input_shape(layers[0]) or own.get("build_input_shape") or own.get("batch_input_shape")
        if not shape:
            raise ImportRefused(f"{name} does not say the shape of its input.", NO_INPUT)
        first = {"name": f"{layers[0]['name']}_input", "batch_input_shape": shape}
        layers.insert(0, {"class_name": "InputLayer", "config": first, "name": first["name"]})
    for before, layer in zip([None, *layers], layers, strict=False):
        layer["inbound_nodes"] = [] if before is None else [[[before["name"], 0, 0, {}]]]
    return {"name": layer_name(own.get("name") or "sequential"), "layers": layers,
            "input_layers": [[layers[0]["name"], 0, 0]], "output_layers": [[layers[-1]["name"], 0, 0]]}


def _named(layer: Config, name: str) -> Config:
    config = {**layer["config"], "name": layer_name(name)}
    return {"class_name": layer["class_name"], "config": config, "name": layer_name(name)}


def _input_shape(layer: Config) -> Any:
    """The shape, batch included, that a model's first layer says it takes."""
    if not is_model(layer):
        return layer["config"].get("batch_input_shape") or layer["config"].get("batch_shape")
    inner = layer["config"]
    first = next(entry for entry in inner["layers"] if entry["name"] == inner["input_layers"][0][0])
    return _input_shape(first)


def _node(node: Any, name: str) -> list[Reference]:
    """One call of a layer, as the references to what it takes."""
    return [[*reference, {}][:4] for reference in _references(node, name)]


def _references(value: Any, name: str) -> list[Reference]:
    """A list of references, also where a single one stands for it."""
    found = [value] if _is_reference(value) else value
    if not isinstance(found, list) or not found or not all(map(_is_reference, found)):
        raise ImportRefused(f"{name} has a layer that is called in a way that only its own version of Keras reads.",
                            "Where it was made, export it as a SavedModel (model.export), and import that.")
    return [[layer_name(reference[0]), *reference[1:]] for reference in found]


def _is_reference(value: Any) -> bool:
    return (isinstance(value, list) and 3 <= len(value) <= 4 and isinstance(value[0], str)
            and isinstance(value[1], int) and isinstance(value[2], int))


def _all_references(config: Config) -> Iterator[Reference]:
    for layer in config["layers"]:
        for node in layer["inbound_nodes"]:
            yield from node
    yield from config["output_layers"]


def _count_from_0(config: Config, name: str) -> None:
    references = [reference for reference in _all_references(config) if reference[0] == name]
    if references and min(reference[1] for reference in references) > 0:
        for reference in references:
            reference[1] -= 1


def _quoted(config: Any) -> str:
    return repr(printable(str(config.get("name", "")))[:100]) if isinstance(config, dict) else ""
