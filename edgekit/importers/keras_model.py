"""Load Keras models: `.keras`, `.h5`, architecture JSON with weights, and SavedModel folders.

Every function here runs in a child process: they import TensorFlow, and a damaged file can crash Keras or HDF5.
The file is checked before Keras sees it (`keras_checks`, `saved_model_scan`); models are loaded without their training
configuration, so that an optimizer that no Keras knows any more is no hindrance.

Files of Keras 1 and 2 are brought to the words of Keras 3 first (`legacy_config`, `legacy_weights`); what Keras 3 has
no layer for is loaded by tf-keras, if that is installed, and frozen.
"""

from __future__ import annotations

import copy
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.errors import EdgekitError, ImportRefused, MissingExtraError, ModelFileError
from edgekit.importers import (
    custom_objects,
    frozen_graph,
    keras_checks,
    keras_inspect,
    legacy_config,
    legacy_graph,
    legacy_weights,
    saved_model,
    tf_keras_model,
)
from edgekit.importers.custom_objects import Reference
from edgekit.importers.keras_checks import CheckedFile
from edgekit.runtime.spec import printable


@dataclass(frozen=True)
class _Request:
    """What is to be loaded, and how.

    `custom` holds foreign classes and functions by all names that they go by; `notes` gathers what became of the model.
    """

    path: Path
    name: str
    weights: Path | None
    allow_lambda: bool
    custom: dict[str, Any]
    notes: list[str]


def load(path: Path, *, allow_lambda: bool = False, weights: Path | None = None) -> Any:
    """The `keras.Model` in a file, not compiled, on Keras' TensorFlow back end.

    Args:
        path: a `.keras` file, a whole-model `.h5`/`.hdf5` file, the JSON of an architecture (`model.to_json`), or
            a SavedModel folder; of any Keras from 1.0.
        allow_lambda: accept layers that run code from the file.
        weights: the weights of an architecture, a `.weights.h5` or `.h5` file.

    Raises:
        ImportRefused: refused by the checks; weights without an architecture or the other way round; weights that
            do not fit; classes that Keras does not have.
        ModelFileError: not a model, or damaged.
        MissingExtraError: TensorFlow, Keras or h5py is not installed.
    """
    return _load(path, allow_lambda, weights, ())[0]


def save_as_keras(path: str, target: str, allow_lambda: bool = False, weights: str | None = None,
                  custom: Sequence[str] = ()) -> dict[str, Any]:
    """Load a model and save it to `target`, a new file whose name ends in `.keras`.

    Args:
        custom: objects that the model needs, each as "module:name" (see `edgekit.importers.custom_objects`). Their
            code is run, and the model is frozen, so that nothing needs it afterwards.

    Returns:
        What it holds, as JSON: see `keras_inspect.describe`; and `notes`, what became of it in words.

    Raises:
        ImportRefused, ModelFileError, MissingExtraError: as `load`.
        EdgekitError: `custom` names what is not there.
    """
    model, notes = _load(Path(path), allow_lambda, Path(weights) if weights else None, custom_objects.parse(custom))
    description = keras_inspect.describe(model)
    if custom:
        name = printable(path)
        with _keras_errors(name):
            model = frozen_graph.freeze(model, name)
        notes = (*notes, f"it was frozen together with its own {', '.join(map(_shown, custom))}: it needs that code no"
                         " longer, and cannot be trained further")
    model.save(target)
    return {**description, "notes": list(notes)}


def _load(path: Path, allow_lambda: bool, weights: Path | None, references: Sequence[Reference],
          ) -> tuple[Any, tuple[str, ...]]:
    """The model, and notes on how it was loaded."""
    for package in ("tensorflow", "keras", "h5py"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError("Reading a Keras model", "keras", package)
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever the user trains with: converting takes TensorFlow's graphs
    name = printable(str(path))
    if path.is_dir():
        _no_weights(weights, name)
        return saved_model.load(path), ()
    checked = keras_checks.check_model(path, allow_lambda=allow_lambda, custom={found.name for found in references})
    if checked.kind == "weights":
        raise ImportRefused(f"{name} holds weights only, and no architecture.",
                            "Name the JSON of the architecture (model.to_json), and give this file as --weights.")
    import tensorflow as tf  # noqa: F401 -- before Keras

    # isort: split
    import keras

    frozen_graph.layer_class()
    notes: list[str] = []
    objects = custom_objects.load(references)
    objects.update({called: objects[plain] for called, plain in checked.custom.items()})
    request = _Request(path, name, weights, allow_lambda, objects, notes)
    with _keras_errors(name), keras.saving.custom_object_scope(objects):
        try:
            model = _from_json(checked, request) if checked.kind == "json" else _from_whole(checked, request)
        except legacy_config.NotInKeras3 as missing:
            model = tf_keras_model.load(checked, path, weights, objects, allow_lambda, str(missing))
            notes.append(f"it was loaded by tf-keras and frozen, since {missing}: it cannot be trained further")
    if not isinstance(model, keras.Model):
        raise ImportRefused(f"{name} is a single {printable(type(model).__name__)} layer, not a model.")
    if not getattr(model, "inputs", None):
        raise _no_input(name)
    return model, tuple(notes)


def _from_whole(checked: CheckedFile, request: _Request) -> Any:
    import keras

    path = request.path
    _no_weights(request.weights, request.name)
    _need_suffix(path, (".keras",) if checked.kind == "keras" else (".h5", ".hdf5"))
    if checked.kind == "h5" and not _is_of_keras_3(path):
        return _from_legacy(checked, request, path)
    if checked.kind == "keras" and tf_keras_model.wrote(path):
        if legacy_config.mentions(checked.config, "hard_sigmoid"):
            raise legacy_config.NotInKeras3("it uses hard_sigmoid, which Keras 3 computes differently")
        with _or_tf_keras(checked, request):
            return keras.saving.load_model(str(path), compile=False, safe_mode=not request.allow_lambda)
    return keras.saving.load_model(str(path), compile=False, safe_mode=not request.allow_lambda)


def _from_json(checked: CheckedFile, request: _Request) -> Any:
    import keras

    name, weights = request.name, request.weights
    if weights is None:
        raise ImportRefused(f"{name} is an architecture without weights.",
                            "Give them with: edgekit import … --weights FILE (.weights.h5 or .h5)")
    found = keras_checks.check_weights(weights)
    if checked.legacy:
        if not found.legacy:
            raise ImportRefused(f"{name} was written by Keras 2 and {printable(str(weights))} by Keras 3.",
                                "Save both with the same version of Keras, or save the whole model.")
        return _from_legacy(checked, request, weights)
    config = {key: value for key, value in checked.config.items() if key != "compile_config"}
    model = keras.saving.deserialize_keras_object(config, safe_mode=not request.allow_lambda)
    if isinstance(model, keras.Model):
        _need_suffix(weights, (".h5", ".hdf5") if found.legacy else (".weights.h5",))
        if found.legacy and weights.name.endswith(".weights.h5"):
            raise ImportRefused(f"{printable(str(weights))} is in the layout of Keras 2, which its name does not say.",
                                "Rename it so that it ends in .h5 but not in .weights.h5.")
        model.load_weights(str(weights))
    return model


def _from_legacy(checked: CheckedFile, request: _Request, weights: Path) -> Any:
    """A model of Keras 1 or 2, its arrays in the layout of `legacy_weights`."""
    import keras

    saved = legacy_weights.read(weights, legacy_config.is_keras_1(checked.config))
    modern = legacy_config.modernize(checked.config, request.name, theano=saved.theano, custom=request.custom.keys())
    if modern.channels_first and saved.keras_1 and not saved.backend:
        raise ImportRefused(f"{request.name} does not say whether Theano or TensorFlow trained it; the kernels of one"
                            " are those of the other mirrored.",
                            f"Write it down: python -c \"import h5py; h5py.File({weights.name!r}, 'a')"
                            ".attrs['backend'] = 'theano'\" (or 'tensorflow'), and import again.")
    if request.allow_lambda:
        keras.config.enable_unsafe_deserialization()
    with _or_tf_keras(checked, request):
        cls = request.custom.get(modern.config["class_name"], keras.Model)
        model = cls.from_config(copy.deepcopy(modern.config["config"]), custom_objects=request.custom)
    for layer, shape in modern.shapes.items():
        if (found := list(model.get_layer(layer).output.shape[1:])) != shape:
            raise ImportRefused(f"{request.name}: the layer {_shown(layer)!r} was told to give {shape}, and gives"
                                f" {found} in every later Keras.", legacy_config.EXPORT)
    order = [layer["name"] for layer in modern.config["config"]["layers"]]
    legacy_weights.assign(model, saved, order, request.name, modern.channels_first)
    if modern.channels_first:
        request.notes.append("it took the channels of an image first, and now takes them last")
    if saved.theano:
        request.notes.append("Theano trained it, so its kernels were mirrored")
    return model


@contextmanager
def _or_tf_keras(checked: CheckedFile, request: _Request) -> Iterator[None]:
    """Turn what Keras 3 raises into NotInKeras3 where tf-keras may know better."""
    try:
        yield
    except (EdgekitError, MemoryError):
        raise
    except Exception as error:
        if legacy_config.is_keras_1(checked.config) or not tf_keras_model.may_know(str(error)):
            raise
        cause = _cause(str(error)).partition(". ")[0].partition(": {")[0][:150] or type(error).__name__
        raise legacy_config.NotInKeras3(f"Keras 3 says: {cause}") from error


def _is_of_keras_3(path: Path) -> bool:
    """Whether Keras 3 wrote a whole model in HDF5: it names itself, and older ones do not always."""
    import h5py

    with h5py.File(path, "r") as file:
        version = file.attrs.get("keras_version", "")
        return (version.decode() if isinstance(version, bytes) else str(version)).startswith("3")


def _shown(text: str) -> str:
    return printable(text)[:100]


def _no_input(name: str) -> ImportRefused:
    return ImportRefused(f"{name} does not say the shape of its input.", legacy_graph.NO_INPUT)


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
    except (EdgekitError, MemoryError, legacy_config.NotInKeras3):
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
        unknown = unknown or re.search(r"activation function identifier: (\w+)", text)
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
