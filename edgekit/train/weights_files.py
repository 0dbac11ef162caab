"""Put the weights of a `.h5`, `.weights.h5` or `.keras` file into a network. Needs Keras, so it runs in a child."""

from __future__ import annotations

import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import EdgekitError
from edgekit.importers import keras_checks
from edgekit.runtime import modelfile
from edgekit.runtime.spec import printable

LARGEST_CLASSIFIER = 3  # layers with weights, as in VGG


@dataclass(frozen=True)
class WeightsFile:
    """A file that was checked. `own`: a `.keras` file that edgekit trained, so a network with its normalisation."""

    path: Path
    legacy: bool
    own: bool


def check(path: Path) -> WeightsFile:
    """Check a file before Keras or HDF5 reads more of it.

    Raises:
        ImportRefused, ModelFileError: as `edgekit.importers.keras_checks` says.
    """
    if path.is_file() and modelfile.sniff(path) == "keras":
        checked = keras_checks.check_model(path)
        layers = checked.config["config"].get("layers", []) if isinstance(checked.config["config"], dict) else []
        names = [layer.get("name") for layer in layers if isinstance(layer, dict)]
        return WeightsFile(path, legacy=False, own="image" in names[:1] and modelfile.read_spec(path) is not None)
    return WeightsFile(path, keras_checks.check_weights(path).legacy, own=False)


def load(model: Any, weights: WeightsFile, name: str) -> None:
    """Give `model` the weights in a file, which may hold a classifier on top of it.

    Raises:
        EdgekitError: the file holds the weights of another architecture than `name`.
    """
    try:
        if weights.legacy:
            _load_legacy(model, weights.path)
            return
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            store = Path(folder) / "model.weights.h5"  # Keras goes by the end of the name
            if zipfile.is_zipfile(weights.path):
                with zipfile.ZipFile(weights.path) as archive, store.open("wb") as stream:
                    for piece in modelfile.unpack(archive, archive.getinfo(keras_checks.WEIGHTS_MEMBER)):
                        stream.write(piece)
            else:
                store.symlink_to(weights.path.resolve())
            model.load_weights(store)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EdgekitError(f"{printable(str(weights.path))} does not hold weights of {name}.",
                           f"Name the --backbone that they belong to. ({_line(error)})") from error


def _load_legacy(model: Any, path: Path) -> None:
    """Keras 2's layout: arrays by layer. They are matched by their order, as Keras does it, since names may differ."""
    import h5py

    with h5py.File(path) as file:
        group = file.get("model_weights", file)
        saved = [(name, _arrays(group[name])) for name in _names(group, "layer_names")]
    saved = [(name, arrays) for name, arrays in saved if arrays]
    wanted = [(layer, [*layer.trainable_weights, *layer.non_trainable_weights]) for layer in model.layers]
    wanted = [(layer, variables) for layer, variables in wanted if variables]
    if not len(wanted) <= len(saved) <= len(wanted) + LARGEST_CLASSIFIER:
        raise ValueError(f"it has {len(saved)} layers with weights in the place of {len(wanted)}")
    for (layer, variables), (name, arrays) in zip(wanted, saved, strict=False):
        shapes = [tuple(variable.shape) for variable in variables]
        if shapes != [array.shape for array in arrays]:
            raise ValueError(f"its layer {name} has other shapes than {layer.name}")
    for (_, variables), (_, arrays) in zip(wanted, saved, strict=False):
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)


def _arrays(group: Any) -> list[NDArray[Any]]:
    return [np.asarray(group[name]) for name in _names(group, "weight_names")]


def _names(group: Any, key: str) -> list[str]:
    """A list of names in an attribute, or in several numbered ones where it is long."""
    chunks = [group.attrs[key]] if key in group.attrs else []
    while f"{key}{len(chunks)}" in group.attrs:
        chunks.append(group.attrs[f"{key}{len(chunks)}"])
    return [name.decode() if isinstance(name, bytes) else str(name) for chunk in chunks for name in chunk]


def _line(error: BaseException) -> str:
    """What Keras says in one line: its first lines are about how many layers and which object."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = lines[1] if len(lines) > 1 and lines[0].startswith("A total of") else lines[0] if lines else repr(error)
    return printable(told)[:200].rstrip(".")
