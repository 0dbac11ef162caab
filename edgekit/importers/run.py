"""`edgekit import`: give a foreign model a spec."""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core import child, embed, files, golden, probe, versions
from edgekit.core.errors import EdgekitError, ImportRefused
from edgekit.importers import facts as facts_of
from edgekit.importers.facts import Facts
from edgekit.importers.options import SpecOptions, parse_channels, parse_crop, parse_labels, parse_size
from edgekit.runtime import modelfile
from edgekit.runtime.classify import Classifier
from edgekit.runtime.protobuf import embedded, fields
from edgekit.runtime.spec import InputSpec, ModelSpec, OutputSpec, Preprocess, Provenance, printable

WEIGHTS_OF = {"resize": "how its training resized images", "crop": "what of an image its training saw",
              "mean": "the mean that its training subtracted", "std": "what its training divided by",
              "labels": "the labels", "input-size": "the size of its input", "output-activation": "what its output is"}
EXAMPLES = {"resize": "bilinear", "crop": "center:0.875", "mean": "127.5", "std": "127.5", "labels": "labels.txt",
            "input-size": "224", "output-activation": "softmax"}
_KERAS_KINDS = ("keras", "h5", "json", "savedmodel")
_ENDINGS = {**dict.fromkeys(_KERAS_KINDS, ".keras"), "tflite": ".tflite", "onnx": ".onnx"}


@dataclass(frozen=True)
class Imported:
    """What `import_model` wrote. `derived` says what was read from the file instead of being told."""

    path: Path
    spec: ModelSpec
    derived: tuple[str, ...]


def needs_import(source: Path) -> bool:
    """Whether this is a model that carries no spec, or cannot carry one."""
    kind = modelfile.sniff(source)
    return kind in ("h5", "json", "savedmodel") or (kind in _ENDINGS and modelfile.read_spec(source) is None)


def import_model(source: str | Path, output: str | Path, options: SpecOptions, *, weights: str | Path | None = None,
                 allow_lambda: bool = False) -> Imported:
    """Write `source` with a spec to `output`.

    Keras models of any kind become `.keras`; `.tflite` and `.onnx` files stay what they are. What the file itself says
    is used, `options` go before it, and what neither says is asked for by name.

    Raises:
        ImportRefused: something is missing or contradicts the file, or the model is unsafe or unsupported.
        EdgekitError: the file is damaged, or the output cannot be written.
    """
    source, output = Path(source), Path(output)
    kind = modelfile.sniff(source)
    if kind not in _ENDINGS:
        raise ImportRefused(f"{printable(str(source))} is no model file that edgekit knows.",
                            "It imports .keras, .h5, .hdf5, architecture .json, .tflite and .onnx files and SavedModel folders.")
    if output.suffix.lower() != _ENDINGS[kind]:
        raise ImportRefused(f"{printable(source.name)} is imported as a {_ENDINGS[kind]} file, not {printable(output.name)}.",
                            f"End the output with {_ENDINGS[kind]}; `edgekit convert` changes the format.")
    if weights is not None and kind != "json":
        raise EdgekitError("--weights belongs to an architecture in JSON; this file holds its own weights.")
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        bare = Path(folder) / f"bare{_ENDINGS[kind]}"
        if kind in _KERAS_KINDS:
            description = child.call("edgekit.importers.run:load_and_save", purpose=f"Loading {printable(source.name)}",
                                     path=str(source), target=str(bare), allow_lambda=allow_lambda,
                                     weights=str(weights) if weights else None)
            facts = facts_of.of_keras(source, description)
        else:
            if kind == "onnx":
                _refuse_external_weights(source)
            probe.vet(source)
            files.copy(source, bare)
            facts = facts_of.of_tflite(source) if kind == "tflite" else facts_of.of_onnx(source)
        known = modelfile.read_spec(source) if kind in ("keras", "tflite", "onnx") else None
        spec, derived = _spec(source, facts, options, known)
        finished = Path(folder) / f"finished{_ENDINGS[kind]}"
        embed.write_spec(bare, spec, finished)
        if kind not in _KERAS_KINDS:
            spec = dataclasses.replace(spec, golden=golden.make(Classifier(finished), ()))
            embed.write_spec(finished, spec, finished)
        files.copy(finished, output)
        probe.mark_vetted(output)
    return Imported(output, spec, derived)


def load_and_save(path: str, target: str, allow_lambda: bool, weights: str | None) -> dict[str, Any]:
    """In the child: load any Keras model, save it as `.keras`, and describe it."""
    from edgekit.importers import keras_inspect, keras_model

    model = keras_model.load(Path(path), allow_lambda=allow_lambda, weights=Path(weights) if weights else None)
    model.save(target)
    return keras_inspect.describe(model)


def _spec(source: Path, facts: Facts, options: SpecOptions, known: ModelSpec | None) -> tuple[ModelSpec, tuple[str, ...]]:
    """The spec from what was said, what the file says, and the spec that it carried, in this order."""
    name, channels, derived = printable(source.name), facts.channels, []
    size = (facts.height, facts.width)
    asked = parse_size(options.input_size) if options.input_size else None
    if None in size and (asked or known):
        size = asked or (known.size if known else size)
    elif asked and asked != size:
        raise ImportRefused(f"{name} takes images of {size[0]}x{size[1]} (height x width), not {asked[0]}x{asked[1]}.",
                            "Leave out --input-size: the model says it.")
    process = known.preprocess if known else None
    labels = parse_labels(options.labels) if options.labels else known.labels if known else facts.labels
    resize = options.resize or (process.resize if process else None)
    crop = parse_crop(options.crop) if options.crop else process.crop if process else None
    order = "gray" if channels == 1 else options.channel_order or (process.channel_order if process else "RGB")
    mean = parse_channels("--mean", options.mean, channels) if options.mean else process.mean if process else facts.mean
    std = parse_channels("--std", options.std, channels) if options.std else process.std if process else facts.std
    activation = options.output_activation or (known.output.activation if known else facts.activation)
    found = {"labels": labels, "input-size": None if None in size else size, "resize": resize, "crop": crop, "mean": mean,
             "std": std, "output-activation": activation}
    missing = [option for option, value in found.items() if value is None]
    if missing:
        told = ", ".join(f"{WEIGHTS_OF[option]} (--{option})" for option in missing)
        example = " ".join(f"--{option} {EXAMPLES[option]}" for option in missing)
        raise ImportRefused(f"{name} does not say {told}; a guess would give wrong answers.", f"Add, for example: {example}")
    if options.channel_order and channels == 1:
        raise ImportRefused(f"{name} takes gray images: --channel-order does not apply.")
    assert labels is not None and resize is not None and crop is not None and mean is not None and std is not None
    assert activation is not None
    if len(labels) != facts.scores and not (facts.scores == 1 and len(labels) == 2):
        hint = ("A model of 1,001 outputs has a background class first: does the list lack it?"
                if facts.scores == 1001 and len(labels) == 1000 else "Every output needs exactly one label, in order.")
        wants = "one output, which needs two labels" if facts.scores == 1 else f"{facts.scores} outputs"
        raise ImportRefused(f"{name} has {wants}, and there are {len(labels)} labels.", hint)
    if not known:
        if not options.labels:
            derived.append(f"{len(labels)} labels")
        if not options.mean and not options.std:
            derived.append("pixels go in as they are" if facts.quantization or set(std) == {1.0} else
                           f"mean {mean[0]:g}, std {std[0]:g}")
        if not options.output_activation:
            derived.append(f"the output is {activation}")
    if channels == 3 and not options.channel_order and not known:
        derived.append("channel order RGB (say --channel-order BGR if it was trained on OpenCV images)")
    height, width = int(size[0] or 0), int(size[1] or 0)
    spec = ModelSpec(
        input=InputSpec(facts.input_name, height, width, channels, facts.dtype, facts.layout, facts.quantization),
        preprocess=Preprocess(resize, crop, channel_order=order, mean=mean, std=std),
        output=OutputSpec(facts.output_name, activation, facts.output_dtype, facts.output_quantization),
        labels=labels,
        scheme="none" if facts.dtype == "float32" else "unknown",
        provenance=Provenance(source.name, modelfile.digest(source), ("import",), versions.of("keras", "tensorflow-cpu")),
    )
    return spec, tuple(derived)


def _refuse_external_weights(source: Path) -> None:
    """Weights in a second file (TensorProto.data_location = EXTERNAL) would be left behind."""
    with modelfile.mapped(source) as data:
        for graph in embedded(data, modelfile.ONNX_GRAPH):
            for weight in embedded(graph, 5):  # GraphProto.initializer
                if any(number == 14 and value == 1 for number, _, value in fields(weight)):
                    raise ImportRefused(f"{printable(source.name)} keeps its weights in another file.",
                                        "Save it in one: onnx.save(onnx.load('model.onnx'), 'whole.onnx')")


