"""The last resort for files of Keras 2: tf-keras, which is Keras 2 kept alive. Runs in a child process.

Its layers are not those of Keras 3, so the model is frozen (`edgekit.importers.frozen_graph`): it answers the same and
cannot be trained further.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from edgekit.core.errors import EdgekitError, ImportRefused, ModelFileError
from edgekit.importers import frozen_graph, legacy_config
from edgekit.importers.keras_checks import CheckedFile
from edgekit.runtime.spec import printable

# Modules as Keras 2.12 to 2.15 wrote them into `.keras` files, and where they are in tf-keras.
_MODULES = re.compile(rb'("module": ?")keras\.(?:src\.)?(?=engine\.|models\.|layers\.[a-z_]+\.)')


def wrote(path: Path) -> bool:
    """Whether a `.keras` archive says that Keras 2, as tf-keras or before it went by that name, wrote it."""
    with zipfile.ZipFile(path) as archive:
        try:
            version = json.loads(archive.read("metadata.json"))["keras_version"]
        except (KeyError, ValueError, TypeError, RecursionError):
            return False
    return isinstance(version, str) and version.startswith("2.")


def may_know(message: str) -> bool:
    """Whether tf-keras may load what Keras 3 refused with this message: not if it lacks the same class."""
    missing = re.search(r"(?:Could not locate (?:class|function)|Unknown \w+:) '(?:\w+>)?(\w+)'", message) or re.search(
        r"activation function identifier: (\w+)", message)
    if missing is None or missing[1] == "Functional":
        return True
    tf_keras = _tf_keras()
    return tf_keras is not None and (hasattr(tf_keras.layers, missing[1]) or hasattr(tf_keras.activations, missing[1]))


def load(checked: CheckedFile, path: Path, weights: Path | None, objects: dict[str, Any], allow_lambda: bool,
         reason: str) -> Any:
    """A checked file as a Keras model of one `FrozenGraph` layer.

    Args:
        weights: those of an architecture in JSON.
        objects: foreign classes and functions by name.
        reason: why Keras 3 does not load it, for the message when tf-keras cannot help either.

    Raises:
        ImportRefused: tf-keras is not installed, or the model is one of Keras 1.
        ModelFileError: tf-keras cannot load it.
    """
    name = printable(str(path))
    if legacy_config.is_keras_1(checked.config):
        raise ImportRefused(f"{name} is a model of Keras 1 that cannot be brought to Keras 3: {reason}.",
                            legacy_config.EXPORT)
    tf_keras = _tf_keras()
    if tf_keras is None:
        raise ImportRefused(f"Keras 3 cannot load {name}: {reason}.",
                            "tf-keras, which is Keras 2, may. Install it beside Keras 3, and import again:"
                            " pip install tf-keras")

    try:
        if checked.kind == "json":
            model = tf_keras.models.model_from_json(json.dumps(checked.config), custom_objects=objects)
            model.load_weights(str(weights))
        else:
            with tempfile.TemporaryDirectory() as folder:
                file = _renamed(path, Path(folder)) if checked.kind == "keras" else path
                model = tf_keras.models.load_model(str(file), custom_objects=objects, compile=False,
                                                   safe_mode=not allow_lambda)
        if not getattr(model, "inputs", None):
            raise ImportRefused(f"{name} does not say the shape of its input.")
        return frozen_graph.freeze(model, name)
    except EdgekitError:
        raise
    except Exception as error:  # as many classes as Keras 3 raises
        lines = str(error).strip().splitlines() or [type(error).__name__]
        told = printable(lines[0])[:200].rstrip(".")
        raise ModelFileError(f"Neither Keras 3 ({reason}) nor tf-keras loads {name}: {told}.",
                             legacy_config.EXPORT) from error


def _tf_keras() -> Any:
    """The module, or None. No extra of edgekit brings it: it is a second Keras, and few need it."""
    return importlib.import_module("tf_keras") if importlib.util.find_spec("tf_keras") is not None else None


def _renamed(path: Path, folder: Path) -> Path:
    """A copy of a `.keras` archive that names the modules of tf-keras."""
    made = folder / "model.keras"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(made, "w") as copy:
        for member in archive.infolist():
            content = archive.read(member)
            if member.filename == "config.json":
                content = _MODULES.sub(rb"\1tf_keras.src.", content)
            copy.writestr(member.filename, content)
    return made
