"""`edgekit import`: give a foreign model a spec."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.core import child, embed, files, golden, probe
from edgekit.core.errors import EdgekitError, ImportRefused
from edgekit.importers import facts as facts_of
from edgekit.importers.custom_objects import parse
from edgekit.importers.options import SpecOptions, parse_size
from edgekit.importers.specify import specify
from edgekit.runtime import modelfile
from edgekit.runtime.classify import Classifier
from edgekit.runtime.protobuf import embedded, fields
from edgekit.runtime.spec import ModelSpec, printable

LOADING_TIMEOUT = 600.0  # seconds; HDF5 loops for ever on some damaged files
_KERAS_KINDS = ("keras", "h5", "json", "savedmodel")
_ENDINGS = {**dict.fromkeys(_KERAS_KINDS, ".keras"), "tflite": ".tflite", "onnx": ".onnx"}


@dataclass(frozen=True)
class Imported:
    """What `import_model` wrote.

    `derived` says what was read from the file instead of being told, and `notes` what became of the model on the way.
    """

    path: Path
    spec: ModelSpec
    derived: tuple[str, ...]
    notes: tuple[str, ...] = ()


def needs_import(source: Path) -> bool:
    """Whether this is a model that carries no spec, or cannot carry one."""
    kind = modelfile.sniff(source)
    return kind in ("h5", "json", "savedmodel") or (kind in _ENDINGS and modelfile.read_spec(source) is None)


def ending(source: Path) -> str:
    """How the file that `import_model` makes of this ends; empty when it is no model file."""
    return _ENDINGS.get(modelfile.sniff(source), "")


def import_model(
    source: str | Path,
    output: str | Path,
    options: SpecOptions,
    *,
    weights: str | Path | None = None,
    allow_lambda: bool = False,
    custom_objects: Sequence[str] = (),
) -> Imported:
    """Write `source` with a spec to `output`.

    Keras models of any kind become `.keras`; `.tflite` and `.onnx` files stay what they are. What the file itself says
    is used, `options` go before it, and what neither says is asked for by name.

    Args:
        weights: those of an architecture in JSON.
        allow_lambda: load Lambda layers, which run code from the file.
        custom_objects: classes and functions of a Keras model that are not Keras' own, each "module:name"; their code
            is run, and the model is frozen so that it needs that code no longer.

    Raises:
        ImportRefused: something is missing or contradicts the file, or the model is unsafe or unsupported.
        EdgekitError: the file is damaged, or the output cannot be written.
    """
    source, output = Path(source), Path(output)
    kind = modelfile.sniff(source)
    if kind not in _ENDINGS:
        raise ImportRefused(
            f"{printable(str(source))} is no model file that edgekit knows, or a damaged one.",
            "It imports .keras, .h5, .hdf5, architecture .json, .tflite and .onnx files and SavedModel folders.",
        )
    if output.suffix.lower() != _ENDINGS[kind]:
        raise ImportRefused(
            f"{printable(source.name)} is imported as a {_ENDINGS[kind]} file, not {printable(output.name)}.",
            f"End the output with {_ENDINGS[kind]}; `edgekit convert` changes the format.",
        )
    if weights is not None and kind != "json":
        raise EdgekitError("--weights belongs to an architecture in JSON; this file holds its own weights.")
    if parse(custom_objects) and kind not in ("keras", "h5", "json"):
        raise EdgekitError("--custom-objects belongs to Keras models; this file holds all that it computes.")
    files.check_target(output)
    notes: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        bare = Path(folder) / f"bare{_ENDINGS[kind]}"
        if kind in _KERAS_KINDS:
            description = child.call(
                "edgekit.importers.keras_model:save_as_keras",
                timeout=LOADING_TIMEOUT,
                purpose=f"Loading {printable(source.name)}",
                path=str(source),
                target=str(bare),
                allow_lambda=allow_lambda,
                weights=str(weights) if weights else None,
                custom=list(custom_objects),
            )
            notes = tuple(description["notes"])
            facts = facts_of.of_keras(source, description)
        else:
            if kind == "onnx":
                _refuse_external_weights(source)
            probe.vet(source, parse_size(options.input_size) if options.input_size else None)
            files.copy(source, bare)
            facts = facts_of.of_tflite(source) if kind == "tflite" else facts_of.of_onnx(source)
        known = modelfile.read_spec(source) if kind in ("keras", "tflite", "onnx") else None
        spec, derived = specify(source, facts, options, known)
        finished = Path(folder) / f"finished{_ENDINGS[kind]}"
        embed.write_spec(bare, spec, finished)
        if kind not in _KERAS_KINDS:
            spec = dataclasses.replace(spec, golden=golden.make(Classifier(finished), ()))
            embed.write_spec(finished, spec, finished)
        files.copy(finished, output)
        probe.mark_vetted(output)
    return Imported(output, spec, derived, notes)


def _refuse_external_weights(source: Path) -> None:
    """Weights in a second file (TensorProto.data_location = EXTERNAL) would be left behind."""
    with modelfile.mapped(source) as data:
        for graph in embedded(data, modelfile.ONNX_GRAPH):
            for weight in embedded(graph, 5):  # GraphProto.initializer
                if any(number == 14 and value == 1 for number, _, value in fields(weight)):
                    raise ImportRefused(
                        f"{printable(source.name)} keeps its weights in another file.",
                        "Save it in one: onnx.save(onnx.load('model.onnx'), 'whole.onnx')",
                    )
