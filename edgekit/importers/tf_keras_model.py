"""The last resort for files of Keras 2: tf-keras, which is Keras 2 kept alive. Runs in a child process.

Its layers are not those of Keras 3, so the model is frozen (`edgekit.importers.frozen_graph`): it answers the same and
cannot be trained further.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from edgekit.core.errors import EdgekitError, ImportRefused, ModelFileError
from edgekit.importers import frozen_graph, legacy_config
from edgekit.importers.keras_checks import CheckedFile
from edgekit.runtime.spec import printable


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
    if importlib.util.find_spec("tf_keras") is None:
        raise ImportRefused(f"{name} needs Keras 2: {reason}.",
                            "Install that beside Keras 3, and import again: pip install tf-keras")
    import tf_keras

    try:
        if checked.kind == "json":
            model = tf_keras.models.model_from_json(json.dumps(checked.config), custom_objects=objects)
            model.load_weights(str(weights))
        else:
            model = tf_keras.models.load_model(str(path), custom_objects=objects, compile=False,
                                               safe_mode=not allow_lambda)
        if not getattr(model, "inputs", None):
            raise ImportRefused(f"{name} does not say the shape of its input.")
        return frozen_graph.freeze(model, name)
    except EdgekitError:
        raise
    except Exception as error:  # as many classes as Keras 3 raises
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelFileError(f"Neither Keras 3 ({reason}) nor tf-keras loads {name}: {printable(lines[0])[:200].rstrip('.')}.",
                             legacy_config.EXPORT) from error
