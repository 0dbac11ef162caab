"""Load Keras models: `.keras`, `.h5`, architecture JSON with weights, and SavedModel folders.

Every function here runs in a child process: they import TensorFlow, and a damaged file can crash Keras or HDF5.
The file is checked before Keras sees it (`keras_checks`, `saved_model_scan`); models are loaded without their training
configuration.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekit.core.errors import EdgekitError, ImportRefused, MissingExtraError, ModelFileError
from edgekit.importers import frozen_graph, keras_checks, keras_inspect, saved_model
from edgekit.runtime.spec import printable


def load(path: Path, *, allow_lambda: bool = False, weights: Path | None = None) -> Any:
    """The `keras.Model` in a file, not compiled, on Keras' TensorFlow back end.

    Args:
        path: a `.keras` file, a whole-model `.h5`/`.hdf5` file, the JSON of an architecture (`model.to_json`), or
            a SavedModel folder.
        allow_lambda: accept layers that run code from the file.
        weights: the weights of an architecture, a `.weights.h5` or `.h5` file.

    Raises:
        ImportRefused: refused by the checks; weights without an architecture or the other way round; weights that
            do not fit; classes that Keras does not have.
        ModelFileError: not a model, or damaged.
        MissingExtraError: TensorFlow, Keras or h5py is not installed.
    """
    for package in ("tensorflow", "keras", "h5py"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError("Reading a Keras model", "keras", package)
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever the user trains with: converting takes TensorFlow's graphs
    name = printable(str(path))
    if path.is_dir():
        _no_weights(weights, name)
        return saved_model.load(path)
    checked = keras_checks.check_model(path, allow_lambda=allow_lambda)
    if checked.kind == "weights":
        raise ImportRefused(f"{name} holds weights only, and no architecture.",
                            "Name the JSON of the architecture (model.to_json), and give this file as --weights.")
    import tensorflow as tf  # noqa: F401 -- before Keras

    # isort: split
    import keras

    frozen_graph.layer_class()
    with _keras_errors(name):
        if checked.kind == "json":
            model = _from_json(checked, name, allow_lambda, weights)
        else:
            _no_weights(weights, name)
            _need_suffix(path, (".keras",) if checked.kind == "keras" else (".h5", ".hdf5"))
            model = keras.saving.load_model(str(path), compile=False, safe_mode=not allow_lambda)
    if not isinstance(model, keras.Model):
        raise ImportRefused(f"{name} is a single {printable(type(model).__name__)} layer, not a model.")
    if not getattr(model, "inputs", None):
        raise _no_input(name)
    return model


def save_as_keras(path: str, target: str, allow_lambda: bool = False, weights: str | None = None) -> dict[str, Any]:
    """Load a model and save it to `target`, a new file whose name ends in `.keras`.

    Returns:
        What it holds, as JSON: see `keras_inspect.describe`.

    Raises:
        ImportRefused, ModelFileError, MissingExtraError: as `load`.
    """
    model = load(Path(path), allow_lambda=allow_lambda, weights=Path(weights) if weights else None)
    model.save(target)
    return keras_inspect.describe(model)


def _from_json(checked: keras_checks.CheckedFile, name: str, allow_lambda: bool, weights: Path | None) -> Any:
    import keras

    if weights is None:
        raise ImportRefused(f"{name} is an architecture without weights.",
                            "Give them with: edgekit import … --weights FILE (.weights.h5 or .h5)")
    found = keras_checks.check_weights(weights)
    if checked.legacy:
        return _from_keras2_json(checked, name, allow_lambda, weights, found.legacy)
    config = {key: value for key, value in checked.config.items() if key != "compile_config"}
    model = keras.saving.deserialize_keras_object(config, safe_mode=not allow_lambda)
    if isinstance(model, keras.Model):
        _need_suffix(weights, (".h5", ".hdf5") if found.legacy else (".weights.h5",))
        if found.legacy and weights.name.endswith(".weights.h5"):
            raise ImportRefused(f"{printable(str(weights))} is in the layout of Keras 2, which its name does not say.",
                                "Rename it so that it ends in .h5 but not in .weights.h5.")
        model.load_weights(str(weights))
    return model


def _from_keras2_json(checked: keras_checks.CheckedFile, name: str, allow_lambda: bool, weights: Path,
                      legacy_weights: bool) -> Any:
    """Join an architecture and weights of Keras 2 to the whole-model file that Keras 3 still reads."""
    import h5py
    import keras

    if not legacy_weights:
        raise ImportRefused(f"{name} was written by Keras 2 and {printable(str(weights))} by Keras 3.",
                            "Save both with the same version of Keras, or save the whole model.")
    with tempfile.TemporaryDirectory() as folder:
        joined = Path(folder) / "joined.h5"
        with h5py.File(joined, "w") as whole, h5py.File(weights, "r") as part:
            whole.attrs["model_config"] = json.dumps(checked.config)
            part.copy(part["model_weights" if "model_weights" in part else "/"], whole, name="model_weights")
        return keras.saving.load_model(str(joined), compile=False, safe_mode=not allow_lambda)


def _no_input(name: str) -> ImportRefused:
    return ImportRefused(f"{name} does not say the shape of its input.",
                         "Start the model with keras.Input(shape=…) and save it again.")


def _no_weights(weights: Path | None, name: str) -> None:
    if weights is not None:
        raise ImportRefused(f"{name} holds its own weights.",
                            "Leave out --weights, or name the JSON of an architecture.")


def _need_suffix(path: Path, suffixes: tuple[str, ...]) -> None:
    """Keras goes by the name of a file; edgekit by its content."""
    if not path.name.endswith(suffixes):
        raise ImportRefused(f"{printable(str(path))} is a {suffixes[0]} file by its content, but not by its name.",
                            f"Rename it so that it ends in {' or '.join(suffixes)}.")


@contextmanager
def _keras_errors(name: str) -> Iterator[None]:
    """Turn what Keras raises (any class, messages of a hundred lines) into an error of one line."""
    try:
        yield
    except (EdgekitError, MemoryError):
        raise
    except Exception as error:
        text = str(error)
        shapes = re.search(r"variable\.shape=(\(.*?\)), Received: value\.shape=(\(.*?\))", text) or re.search(
            r"expects shape (\(.*?\))\. Received saved weight with shape (\(.*?\))", text)
        layer = re.search(r"for object <\w+ name=([^,>]+)", text) or re.search(r"\(named (.+?)\)", text)
        unknown = re.search(r"(?:Could not locate (?:class|function)|Unknown layer:) '([^']+)'", text) or re.search(
            r"Could not deserialize '([^']+)'", text)
        if shapes and layer:
            raise ImportRefused(f"{name}: the weights do not fit the layer {printable(layer[1])[:100]!r}:"
                                f" it has the shape {shapes[1]}, and the file has {shapes[2]}.",
                                "Use the weights that belong to this architecture.") from error
        if unknown:
            raise ImportRefused(f"{name} uses a class that this Keras does not have: {printable(unknown[1])[:100]}.",
                                keras_checks.EXPORT_INSTEAD) from error
        if re.search(r"never built|not yet been built", text):
            raise _no_input(name) from error
        inside = f" (layer {printable(layer[1])[:100]!r})" if layer else ""
        raise ModelFileError(f"Keras cannot load {name}{inside}: {_cause(text) or type(error).__name__}.",
                             "Where it was made, export it as a SavedModel (model.export), and import that.") from error


def _cause(text: str) -> str:
    """The line of a Keras message that says what happened."""
    text = text.rpartition("Exception encountered: ")[2]
    paragraphs = text.strip().split("\n\n")
    if "objects could not be loaded" in paragraphs[0] and len(paragraphs) > 1:
        text = paragraphs[1]
    line = re.sub(r"\{\{.*?\}\} ?", "", text.strip().partition("\n")[0])  # TensorFlow's name of the place
    return printable(line)[:300].rstrip(".")
