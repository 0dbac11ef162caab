"""Pretrained networks that give features, for training a classifier on few photos.

A backbone takes pixels 0..255, RGB, and normalises them itself, so a device feeds bytes to whatever is trained on it.
These functions need Keras, so they run in a child process.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from edgekit.core.errors import EdgekitError
from edgekit.runtime.spec import printable
from edgekit.train import applications, efficientnet_lite, weights_files
from edgekit.train.weights_files import WeightsFile


def names() -> list[str]:
    """Every backbone: efficientnet-lite0 and the classifiers of `keras.applications`."""
    return sorted([efficientnet_lite.NAME, *applications.classes()])


def describe(name: str, weights: str, side: int | None = None) -> dict[str, Any]:
    """What is known before any photo is decoded; whatever would make `build` fail makes this fail.

    Args:
        name: a backbone, in any case and with or without dashes.
        weights: "imagenet", "none" or the path of a `.h5`, `.weights.h5` or `.keras` file.
        side: of the square input in pixels; by default the usual one.

    Returns:
        {"name": as `names` writes it, "size": usual side of the input, "smallest": smallest side, "download": the
        name of the file that `build` would download first, or ""}.

    Raises:
        EdgekitError: there is no such backbone, the side is too small, the weights cannot be had or belong to
            another network.
        MissingExtraError: the package with the weights of efficientnet-lite0 is not installed.
        ImportRefused, ModelFileError: the file of weights is unsafe or damaged.
    """
    name = _canonical(name)
    if name == efficientnet_lite.NAME:
        size, smallest = efficientnet_lite.SIZE, efficientnet_lite.SMALLEST
    else:
        size, smallest = applications.sizes(name)
    side = size if side is None else side
    if side < smallest:
        raise EdgekitError(f"{name} takes inputs of {smallest} pixels and more, not of {side}.",
                           f"Choose an --input-size of {smallest} to 512, or another --backbone.")
    download = ""
    if weights == "imagenet" and name != efficientnet_lite.NAME:
        wanted = applications.wanted(name, side)
        if not wanted.path.exists():
            applications.check_server(wanted)
            download = wanted.path.name
    if name == efficientnet_lite.NAME and weights == "imagenet":
        efficientnet_lite.imagenet_weights()
    elif weights != "none" and not download:
        build(name, side, weights)
    return {"name": name, "size": size, "smallest": smallest, "download": download}


def build(name: str, side: int, weights: str) -> Any:
    """A network that takes pixels 0..255, RGB, float32 [N, side, side, 3] and gives features, float32 [N, D].

    Its input layer is named "image", its last layer "pool"; it is made of Keras' own layers only. A file of weights may
    hold a classifier as well. Downloading weights is reported as {"download": file, "address": where from}.

    Raises:
        EdgekitError, MissingExtraError, ImportRefused, ModelFileError: as `describe` says.
    """
    name = _canonical(name)
    source = weights if weights in ("imagenet", "none") else weights_files.check(Path(weights))
    if name != efficientnet_lite.NAME:
        return applications.build(name, side, source)
    model = efficientnet_lite.backbone(side)
    if isinstance(source, WeightsFile):
        weights_files.load(model, source, name)
    elif source == "imagenet":
        efficientnet_lite.set_weights(model, efficientnet_lite.imagenet_weights())
    return model


def _canonical(name: str) -> str:
    """The name as `names` writes it."""
    if _letters(name) == _letters(efficientnet_lite.NAME):
        return efficientnet_lite.NAME  # without waiting for Keras
    known = {_letters(known): known for known in names()}
    letters = _letters(name)
    if letters in known:
        return known[letters]
    near = [known[found] for found in difflib.get_close_matches(letters, known, 3, 0.6)]
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise EdgekitError(
        f"There is no backbone {printable(name)[:60]!r}.",
        f"{hint}Backbones are {efficientnet_lite.NAME} and the classifiers of keras.applications, "
        "such as mobilenet-v2 or resnet50.",
    )


def _letters(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
