"""From what was said, what a file carried and what it tells, to a spec; what is missing is asked for by name."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from edgekit.core import versions
from edgekit.core.errors import EdgekitError, ImportRefused
from edgekit.importers.facts import Facts
from edgekit.importers.options import SpecOptions, parse_channels, parse_crop, parse_labels, parse_size
from edgekit.runtime import modelfile
from edgekit.runtime.spec import (
    Crop,
    InputSpec,
    ModelSpec,
    OutputSpec,
    Preprocess,
    Provenance,
    ScoreCalibration,
    printable,
)

# For each thing that must be known: its option, what it is, and an example of it.
_ASKED = {
    "labels": ("--labels", "the labels", "labels.txt"),
    "size": ("--input-size", "the size of its input", "224"),
    "resize": ("--resize", "how its training resized images", "bilinear"),
    "crop": ("--crop", "what of an image its training saw", "center:0.875"),
    "mean": ("--mean", "the mean that its training subtracted", "127.5"),
    "std": ("--std", "what its training divided by", "127.5"),
    "activation": ("--output-activation", "what its output is", "softmax"),
}


_GIVES = {"softmax": "the result of a softmax", "sigmoid": "the result of a sigmoid", "logits": "logits"}


@dataclass(frozen=True)
class Known:
    """What one source knows of a model; None what it does not know."""

    labels: tuple[str, ...] | None = None
    size: tuple[int, int] | None = None
    resize: str | None = None
    crop: Crop | None = None
    channel_order: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    activation: str | None = None

    def else_from(self, other: Known) -> Known:
        """This, with what it does not know taken from `other`."""
        mine = {name: value for name, value in vars(self).items() if value is not None}
        return dataclasses.replace(other, **mine)


def specify(
    source: Path, facts: Facts, options: SpecOptions, carried: ModelSpec | None
) -> tuple[ModelSpec, tuple[str, ...]]:
    """The spec of an imported model: options first, then the spec that it carried, then what the file says.

    Returns:
        The spec, and what was taken from the file, in words.

    Raises:
        ImportRefused: something is missing, or contradicts the file.
    """
    name = printable(source.name)
    told, stated = _told(options, facts, name), _stated(facts)
    _require_no_contradiction(name, told, stated, facts)
    known = told.else_from(_carried(carried)).else_from(stated)
    if facts.channels == 3:
        known = known.else_from(Known(channel_order="RGB"))
    missing = [field for field in _ASKED if getattr(known, field) is None]
    if missing:
        what = ", ".join(f"{_ASKED[field][1]} ({_ASKED[field][0]})" for field in missing)
        example = " ".join(f"{_ASKED[field][0]} {_ASKED[field][2]}" for field in missing)
        raise ImportRefused(
            f"{name} does not say {what}; a guess would give wrong answers.", f"Add, for example: {example}"
        )
    labels, (height, width) = known.labels or (), known.size or (0, 0)
    _require_labels_fit(name, facts.scores, len(labels))
    spec = ModelSpec(
        input=InputSpec(facts.input_name, height, width, facts.channels, facts.dtype, facts.layout, facts.quantization),
        preprocess=Preprocess(
            known.resize or "",
            known.crop or Crop(),
            carried.preprocess.orientation if carried else "exif",
            channel_order=known.channel_order or "gray",
            mean=known.mean or (),
            std=known.std or (),
        ),
        output=OutputSpec(
            facts.output_name,
            known.activation or "",
            facts.output_dtype,
            facts.output_quantization,
            carried.output.calibration if carried else ScoreCalibration(),
        ),
        labels=labels,
        scheme=carried.scheme if carried else "unknown" if facts.quantized or facts.dtype != "float32" else "none",
        provenance=_provenance(source, carried),
    )
    return spec, _in_words(stated, told, spec) if carried is None else ()


def _provenance(source: Path, carried: ModelSpec | None) -> Provenance:
    if carried:
        return dataclasses.replace(carried.provenance, steps=(*carried.provenance.steps, "import"))
    # .tflite and .onnx files are taken as they are; Keras models are loaded and saved again.
    used = () if modelfile.sniff(source) in ("tflite", "onnx") else ("tensorflow", "tensorflow-cpu", "keras")
    return Provenance(printable(source.name), modelfile.digest(source), ("import",), versions.of(*used))


def _told(options: SpecOptions, facts: Facts, name: str) -> Known:
    if options.channel_order and facts.channels == 1:
        raise ImportRefused(f"{name} takes gray images: --channel-order does not apply.")
    size = parse_size(options.input_size) if options.input_size else None
    if size and any(has not in (None, want) for has, want in zip((facts.height, facts.width), size, strict=True)):
        raise ImportRefused(
            f"{name} takes images of {facts.height}x{facts.width} (height x width), not {size[0]}x{size[1]}.",
            "Leave out --input-size: the model says it.",
        )
    mean = parse_channels("--mean", options.mean, facts.channels) if options.mean else None
    std = parse_channels("--std", options.std, facts.channels) if options.std else None
    if std and max(std) < 1:
        bytes_std = ",".join(f"{255 * value:g}" for value in std)
        raise EdgekitError(
            f"--std {printable(options.std or '')} is for pixels of 0 to 1, and edgekit feeds bytes, 0 to 255.",
            f"Multiply mean and std by 255: --std {bytes_std}",
        )
    return Known(
        parse_labels(options.labels) if options.labels else None,
        size,
        options.resize,
        parse_crop(options.crop) if options.crop else None,
        options.channel_order,
        mean,
        std,
        options.output_activation,
    )


def _carried(spec: ModelSpec | None) -> Known:
    if spec is None:
        return Known()
    process = spec.preprocess
    return Known(
        spec.labels,
        spec.size,
        process.resize,
        process.crop,
        process.channel_order,
        process.mean,
        process.std,
        spec.output.activation,
    )


def _stated(facts: Facts) -> Known:
    size = (facts.height, facts.width) if facts.height and facts.width else None
    return Known(facts.labels, size, mean=facts.mean, std=facts.std, activation=facts.activation)


def _require_no_contradiction(name: str, told: Known, stated: Known, facts: Facts) -> None:
    """Refuse what would be done twice or not at all: the model's layers say what it does."""
    for option, said, does in (("--mean", told.mean, stated.mean), ("--std", told.std, stated.std)):
        if facts.exact and said and does and said != does:
            raise ImportRefused(
                f"{name} normalises its input itself: with {option} {_list(said)} it would be done twice.",
                "Leave out --mean and --std: the model takes pixels of 0 to 255 as they are.",
            )
    wants, gives = told.activation, stated.activation
    if wants and gives and wants != gives and (facts.exact or gives != "logits"):
        raise ImportRefused(
            f"{name} gives {_GIVES[gives]}, not {_GIVES[wants]}: its last operation says so.",
            "Leave out --output-activation: the model says it.",
        )


def _require_labels_fit(name: str, scores: int, labels: int) -> None:
    if labels == scores or (scores == 1 and labels == 2):
        return
    wants = "one output, which needs two labels" if scores == 1 else f"{scores} outputs"
    hint = "Every output needs exactly one label, in their order."
    if scores == labels + 1:
        hint += " One is missing: many models of 1001 outputs have the class 'background' first."
    raise ImportRefused(f"{name} has {wants}, and there are {labels} labels.", hint)


def _in_words(stated: Known, told: Known, spec: ModelSpec) -> tuple[str, ...]:
    words = []
    if told.labels is None:
        words.append(f"{len(spec.labels)} labels")
    if told.mean is None and told.std is None and stated.mean is not None:
        raw = spec.input.quantization is not None or set(stated.std or ()) == {1.0}
        shown = f"mean {_list(spec.preprocess.mean)}, std {_list(spec.preprocess.std)}"
        words.append("its input takes pixels as they are" if raw else f"its input is normalised by {shown}")
    if told.activation is None:
        words.append(f"its output is {spec.output.activation}")
    if told.channel_order is None and spec.input.channels == 3:
        words.append("its channel order is taken to be RGB (else say --channel-order BGR, as for OpenCV images)")
    return tuple(words)


def _list(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in (values if len(set(values)) > 1 else values[:1]))
