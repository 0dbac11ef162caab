"""TensorFlow SavedModel -> Keras model, by freezing one signature. Runs in a child process: it imports TensorFlow.

What the SavedModel computes for serving is kept as it is, as one `FrozenGraph` layer: inference only, no layers to look
into. `edgekit.importers.saved_model_scan` has its say before TensorFlow loads anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.core.errors import EdgekitError, ImportRefused, ModelFileError
from edgekit.importers import frozen_graph, saved_model_scan
from edgekit.runtime.spec import printable

# What tf.saved_model.save and keras' model.export call the signature for serving.
_SERVING = ("serving_default", "serve")


def load(folder: Path) -> Any:
    """A functional Keras model that answers like the serving signature of the SavedModel in `folder`.

    The signature is `serving_default`, else `serve`, else the only one. Its batch dimension is kept.

    Raises:
        ImportRefused: refused by the scan; no signature or no single one; several inputs or outputs; state
            that cannot be frozen, such as a lookup table.
        ModelFileError: a damaged SavedModel.
    """
    saved_model_scan.scan(folder)
    import tensorflow as tf  # before Keras
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    name = printable(str(folder))
    try:
        loaded = tf.saved_model.load(str(folder))
        signature = _signature(loaded.signatures, name)
        inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
        for what, tensors in (("inputs", inputs), ("outputs", outputs)):
            if len(tensors) != 1:
                raise ImportRefused(f"{name} has {len(tensors)} {what} ({_names(tensors)}); a classifier has one.",
                                    "Save it again with a signature of one image and one output.")
        frozen = convert_variables_to_constants_v2(signature, lower_control_flow=False)
    except EdgekitError:
        raise
    except Exception as error:  # the loader raises whatever it meets in a damaged file
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelFileError(f"TensorFlow cannot load {name}: {printable(lines[0])[:200].rstrip('.')}.",
                             "Copy the whole folder: saved_model.pb and variables/.") from error
    (input_name, spec), = inputs.items()
    made = (tensor.dtype for operation in frozen.graph.get_operations() for tensor in operation.outputs)
    if len(frozen.inputs) != 1 or tf.resource in made:
        raise ImportRefused(f"{name} needs state besides its weights, such as a lookup table, which cannot be frozen.",
                            "Save it again without label lookup: image in, scores out.")
    result = frozen.outputs[0]
    if spec.shape.rank is None or result.shape.rank is None:
        raise ImportRefused(f"{name} does not say the shape of its input or output.",
                            "Save it again with an input signature, such as tf.TensorSpec([None, 224, 224, 3]).")
    return frozen_graph.as_model(frozen, spec.shape.as_list(), spec.dtype.name, _plain(input_name), "saved_model")


def _signature(signatures: Any, name: str) -> Any:
    known = sorted(signatures)
    for wanted in _SERVING:
        if wanted in known:
            return signatures[wanted]
    if len(known) == 1:
        return signatures[known[0]]
    if not known:
        raise ImportRefused(f"{name} has no signature, so nothing says how it is called.",
                            "Save it again: tf.saved_model.save(module, folder, signatures=module.__call__).")
    raise ImportRefused(f"{name} has {len(known)} signatures and none for serving: {_names(known)}.",
                        "Save it again with the one to import as signatures={'serving_default': …}.")


def _names(names: Any) -> str:
    return printable(", ".join(sorted(names)[:10]))[:200]


def _plain(name: str) -> str:
    """A name that Keras accepts for a layer: no slash, no leading underscore (SavedModel export refuses it)."""
    return name.replace("/", "_").lstrip("_") or "image"
