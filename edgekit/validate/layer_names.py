"""Whose tensor is it? Names of tensors, as converters make them, and the layers of the Keras model behind them.

A Keras layer `stem` computes in the scope `stem_1` of the model's own scope, `cnn_1/stem_1/convolution`; the TFLite
converter joins the names of what it fuses by semicolons, and makes names unique with a number.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.convert.keras_graph import scope
from edgekit.core.errors import ModelFileError
from edgekit.runtime.spec import printable

MAX_CONFIG_BYTES = 64 << 20
_WEIGHTED = re.compile(r"(convolution|depthwise|matmul|conv2d|conv|gemm|einsum)", re.IGNORECASE)


@dataclass(frozen=True)
class Owner:
    """The layer that a tensor belongs to.

    Attributes:
        name: of the layer in Keras, or the tensor's own name made short.
        kind: its Keras class, or the operator of the file.
        part: the operation in the layer, as in `mul`.
        fused: the other layers that were fused into the same operator, as in `stem_norm`.
    """

    name: str
    kind: str
    part: str = ""
    fused: tuple[str, ...] = ()


def keras_classes(path: Path) -> dict[str, str]:
    """The layers of a `.keras` file and of the models in it: the class by the name of the layer.

    Raises:
        ModelFileError: its configuration cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open("config.json") as member:
            text = member.read(MAX_CONFIG_BYTES + 1)
        if len(text) > MAX_CONFIG_BYTES:
            raise ValueError
        return dict(_layers(json.loads(text)))
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RecursionError, zipfile.BadZipFile) as error:
        raise ModelFileError(f"The configuration in {printable(path.name)} cannot be read.") from error


def _layers(model: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for layer in model["config"].get("layers", ()):
        name = str(layer["config"].get("name") or layer.get("name") or "")
        if name:
            yield name, str(layer["class_name"])
        yield from _layers(layer)


def owners(tensors: Mapping[str, tuple[str, str]], classes: Mapping[str, str] | None) -> dict[str, Owner]:
    """The layer of each tensor.

    Args:
        tensors: by the name of the tensor, the operator that computes it, and the name of its weights or "".
        classes: of `keras_classes`; None where no Keras model is at hand.
    """
    layers = {scope(name): name for name in classes or {}}
    numbered = _numbered(tensors)
    found = {}
    for tensor, (kind, weight) in tensors.items():
        known = _known(tensor, layers)
        # A tensor may be called after the layer that reads it; weights are called after their own.
        owner = _first_weighted(_known(weight, layers)) or _first_weighted(known)
        if owner is not None:
            layer, part = owner
            parts = dict(known)
            fused = tuple(other for other in parts if other != layer and layer in parts)
            found[tensor] = Owner(layer, (classes or {})[layer], parts.get(layer, part), fused)
        else:
            found[tensor] = Owner(_short(tensor, numbered), kind)
    return found


def _known(tensor: str, layers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The layers that a tensor's name speaks of, with the operation in each."""
    parts = [_part(name, layers) for name in tensor.split(";") if name]
    return [(layer, part) for layer, part in parts if layer]


def _first_weighted(known: list[tuple[str, str]]) -> tuple[str, str] | None:
    weighted = [each for each in known if _WEIGHTED.search(each[1])]
    return next(iter(weighted or known), None)


def _part(name: str, layers: Mapping[str, str]) -> tuple[str, str]:
    """The innermost layer in a path of scopes, and the operation in it."""
    steps = name.removesuffix(":0").split("/")
    for place in range(len(steps) - 1, -1, -1):
        for candidate in (re.sub(r"_\d+$", "", steps[place]), steps[place]):  # Keras numbers scopes
            if candidate in layers and (place < len(steps) - 1 or len(steps) == 1):
                return layers[candidate], "/".join(steps[place + 1 :])
    return "", ""


def _numbered(tensors: Iterable[str]) -> bool:
    """Whether every scope ends in a number, as those of Keras do: then the number says nothing."""
    scopes = [step for tensor in tensors for name in tensor.split(";") for step in name.split("/")[:-1][:2]]
    return bool(scopes) and sum(bool(re.search(r"_\d+$", step)) for step in scopes) > 0.9 * len(scopes)


def _short(tensor: str, numbered: bool) -> str:
    """A tensor's name without the model's scope and the operation, of fused ones that of the weights."""
    names = [name for name in tensor.removesuffix(":0").split(";") if name]
    weighted = [name for name in names if _WEIGHTED.search(name.rsplit("/", 1)[-1])]
    steps = (weighted or names or [tensor])[0].split("/")
    kept = steps[1:-1] if len(steps) > 2 else steps[-1:]
    if numbered and len(steps) > 2:
        kept = [re.sub(r"_\d+$", "", step) for step in kept]
    return "/".join(kept)
