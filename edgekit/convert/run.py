"""`edgekit convert`: from a model with a spec to a quantized, checked file with a spec."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.convert import check
from edgekit.convert.onnx_graph import OnnxGraph
from edgekit.convert.tflite_graph import TFLiteGraph
from edgekit.core import child, embed, files, golden, probe, versions
from edgekit.core.errors import ConversionError, DataError, EdgekitError, ImportRefused, ModelFileError, SpecError
from edgekit.data.dataset import open_dataset
from edgekit.data.labels import align
from edgekit.data.stream import BadImages, readable
from edgekit.quantize import calibration
from edgekit.quantize.calibration import Calibration
from edgekit.runtime import modelfile, preprocess
from edgekit.runtime.classify import Classifier, to_scores
from edgekit.runtime.interpreters import open_interpreter
from edgekit.runtime.spec import PATTERNS, ModelSpec, OutputSpec, Quantization, printable

SCHEMES = {"tflite": ("none", "float16", "dynamic", "int8", "int16x8"), "onnx": ("none", "float16", "dynamic", "int8")}
GRAPHS: dict[str, type[TFLiteGraph] | type[OnnxGraph]] = {"tflite": TFLiteGraph, "onnx": OnnxGraph}
QUANTIZERS = {
    "tflite": "edgekit.quantize.litert_adapter:quantize",
    "onnx": "edgekit.quantize.onnx_adapter:quantize",
}
CALIBRATED = ("int8", "int16x8")
PROBES = 5
CONVERSION_TIMEOUT = 3600.0  # seconds; HDF5 loops for ever on some damaged files
COLOURS = ((0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255))
GOLDEN_CANDIDATES = 24
LOW_AGREEMENT = 0.9
MIN_JUDGED = 20  # fewer calibration images say nothing about the float model

_TOOLS = {
    ".tflite": ("tensorflow", "tensorflow-cpu", "keras", "litert-quantizer"),
    ".onnx": ("tensorflow", "tensorflow-cpu", "keras", "tf2onnx", "onnx", "onnxruntime"),
}


@dataclass(frozen=True)
class Converted:
    """What `convert` wrote.

    `agreement` with the float source is over the calibration images, None without; `skipped` are those that could not
    be read, with the reason.
    """

    path: Path
    scheme: str
    size: int
    agreement: float | None
    max_difference: float | None
    warnings: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def convert(
    source: str | Path,
    output: str | Path | None = None,
    *,
    quantize: str = "none",
    calibrate: str | Path | None = None,
    samples: int = 200,
    io: str = "uint8",
    seed: int = 0,
    max_bad: int = 0,
    allow_lambda: bool = False,
) -> Converted:
    """Convert a `.keras` file, or a float `.tflite` or `.onnx` file, that carries a spec.

    Args:
        source: the model; `edgekit import` gives a spec to one that has none.
        output: `.tflite` or `.onnx`; without it, the source's name with `.tflite`.
        quantize: none, float16, dynamic, int8 or int16x8 (`.tflite` only).
        calibrate: the data for int8 and int16x8, as `edgekit.data.dataset.open_dataset` reads it.
        samples: how many images of it to use, evenly over the classes.
        io: uint8 (bytes in, float32 scores out), float32 (both), or int8 (both; int8 `.tflite` only).
        seed: which images are chosen.
        max_bad: how many unreadable calibration images may be skipped.
        allow_lambda: load Lambda layers, which run code from the file.

    Raises:
        EdgekitError: see the tree in `edgekit.core.errors`; nothing is written then, and an older output stays.
    """
    source = Path(source)
    output = Path(output) if output is not None else default_output(source)
    target = _target(source, output, quantize, io, calibrate is not None)
    spec = _source_spec(source)
    probe.vet(source)
    chosen, bad = None, BadImages(max_bad)
    if calibrate is not None:
        chosen = calibration.choose(readable(open_dataset(Path(calibrate)), bad), spec, samples, seed, bad)

    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        work = Path(folder)
        pixels = _probe_pixels(spec, chosen)
        core = _float_core(source, spec, target, pixels, work, allow_lambda)
        quantized = _quantize(core, spec, target, quantize, io, chosen, work)
        seen = chosen.pixels if chosen is not None else pixels
        outputs = check.run_float(open_interpreter(core), seen, spec.input.layout)
        check.require_alive(outputs, printable(source.name))
        reference = to_scores(outputs, spec.output, len(spec.labels))
        with _running(f"Converting {printable(source.name)} with --quantize {quantize}"):
            made = _made_spec(spec, source, quantized, quantize, io, chosen)
            bare = work / f"bare.{target}"
            embed.write_spec(quantized, made, bare)
            classifier = Classifier(bare)
            tensors = np.stack([preprocess.to_tensor(image, made) for image in seen])
            comparison = check.compare(reference, classifier.scores(tensors), quantize)
        made = dataclasses.replace(made, golden=golden.make(classifier, _golden_candidates(chosen, spec)))
        finished = work / f"finished.{target}"
        embed.write_spec(bare, made, finished)
        files.copy(finished, output)
        probe.mark_vetted(output)
    return Converted(
        output,
        quantize,
        output.stat().st_size,
        comparison.agreement if chosen is not None else None,
        comparison.max_difference,
        tuple(_warnings(comparison, reference, chosen, spec)),
        tuple(bad.skipped),
    )


@contextmanager
def _running(what: str) -> Iterator[None]:
    """A made file that its interpreter refuses is a failed conversion, not a bad input."""
    try:
        yield
    except ModelFileError as error:
        raise ConversionError(f"{what} gave a file that does not run. Nothing was written.", error.message) from error


def default_output(source: Path) -> Path:
    """The `.tflite` file beside the source, where no other is named."""
    return source.parent / f"{source.absolute().stem}.tflite"


def _target(source: Path, output: Path, quantize: str, io: str, calibrated: bool) -> str:
    target = output.suffix.lower().lstrip(".")
    if target not in SCHEMES:
        raise EdgekitError(f"Cannot tell from {printable(output.name)} what to write.", "End it with .tflite or .onnx.")
    if quantize not in SCHEMES[target]:
        raise EdgekitError(
            f"--quantize {quantize} does not exist for .{target} files.",
            f"Choose one of: {', '.join(SCHEMES[target])}.",
        )
    if quantize in CALIBRATED and not calibrated:
        raise EdgekitError(
            f"--quantize {quantize} needs images to measure the ranges of the activations on.",
            "Add --calibrate DATA: a folder, manifest or .npz of images like those the device will see.",
        )
    if io == "int8" and (target, quantize) != ("tflite", "int8"):
        raise EdgekitError("--io int8 needs --quantize int8 and a .tflite output.")
    if output.resolve() == source.resolve():
        raise EdgekitError(f"The output {printable(str(output))} is the source itself.", "Name another file with -o.")
    files.check_target(output)
    return target


def _source_spec(source: Path) -> ModelSpec:
    kind = modelfile.sniff(source)
    if kind in ("h5", "savedmodel", "json"):
        raise ImportRefused(
            f"{printable(str(source))} carries no spec: labels and preprocessing are not known.",
            f"Import it first: edgekit import {printable(str(source))} --labels … -o model.keras",
        )
    spec = modelfile.read_spec(source)
    if spec is None:
        if kind == "unknown":
            raise ImportRefused(
                f"{printable(str(source))} is no model file that edgekit knows, or a damaged one.",
                "It reads .keras, .h5, .tflite and .onnx files and SavedModel folders.",
            )
        raise SpecError(
            f"{printable(str(source))} carries no edgekit spec, so nothing says how to feed it.",
            f"Give it one with: edgekit import {printable(str(source))} --labels … -o …",
        )
    if spec.scheme not in ("none", "unknown"):
        raise ImportRefused(
            f"{printable(str(source))} is quantized already ({spec.scheme}).", "Convert its float source."
        )
    return spec


def _probe_pixels(spec: ModelSpec, chosen: Calibration | None) -> NDArray[np.uint8]:
    """What source and conversion are compared on: patterns, plain colours, and a few images where there are any."""
    made = [preprocess.pattern(name, *spec.size) for name in PATTERNS]
    made += [np.full((*spec.size, 3), colour, np.uint8) for colour in COLOURS]
    images = chosen.pixels[:PROBES] if chosen is not None else ()
    return np.stack([*(preprocess.pixels(image, spec) for image in made), *images])


def _float_core(
    source: Path, spec: ModelSpec, target: str, pixels: NDArray[np.uint8], work: Path, allow_lambda: bool
) -> Path:
    """The source as a float32 file that takes pixels 0..255 and normalises them itself."""
    core = work / f"core.{target}"
    kind = modelfile.sniff(source)
    tensors = np.stack([preprocess.to_tensor(image, spec) for image in pixels])
    if kind == "keras":
        probes, answers = work / "probes.npy", work / "answers.npy"
        np.save(probes, tensors)
        child.call(
            f"edgekit.convert.keras_graph:to_{target}",
            timeout=CONVERSION_TIMEOUT,
            purpose=f"Converting {printable(source.name)}",
            source=str(source),
            target=str(core),
            probes=str(probes),
            answers=str(answers),
            allow_lambda=allow_lambda,
        )
        reference: NDArray[np.float32] = np.load(answers)
    elif kind == target:
        reference = open_interpreter(source).run(tensors)
        with modelfile.mapped(source) as view:
            start, end = modelfile.tflite_body(view) if kind == "tflite" else (0, len(view))
            core.write_bytes(view[start:end])
    else:
        raise ImportRefused(
            f"A .{kind} file cannot become a .{target} file.", f"Convert its Keras source, or write a .{kind} file."
        )
    graph = GRAPHS[target](core)
    graph.strip_byte_input()
    graph.require_float(printable(source.name))
    graph.name_tensors()
    if any(spec.preprocess.mean) or any(value != 1 for value in spec.preprocess.std):
        graph.prepend_normalisation(spec.preprocess.mean, spec.preprocess.std, spec.input.layout)
    graph.save(core)
    made = check.run_float(open_interpreter(core), pixels, spec.input.layout)
    check.require_equal(reference, made, printable(source.name))
    return core


def _quantize(
    core: Path, spec: ModelSpec, target: str, scheme: str, io: str, chosen: Calibration | None, work: Path
) -> Path:
    quantized = core
    byte_io = (target, scheme) == ("tflite", "int8") and io != "float32"  # the quantizer makes bytes itself
    if scheme != "none":
        quantized = work / f"quantized.{target}"
        samples = None
        if chosen is not None and scheme in CALIBRATED:
            samples = str(work / "samples.npy")
            np.save(samples, chosen.pixels)
        extra: dict[str, Any] = {"layout": spec.input.layout}
        if target == "tflite":
            extra = {"io": io if byte_io else "float32", "probabilities": spec.output.activation != "logits"}
        child.call(
            QUANTIZERS[target],
            purpose=f"Quantizing to {scheme}",
            source=str(core),
            target=str(quantized),
            scheme=scheme,
            samples=samples,
            **extra,
        )
    finished = work / f"quantized-and-named.{target}"
    graph = GRAPHS[target](quantized)
    graph.name_tensors()
    if io == "uint8" and not byte_io:
        graph.prepend_byte_input()
    graph.save(finished)
    return finished


def _made_spec(
    spec: ModelSpec, source: Path, made: Path, scheme: str, io: str, chosen: Calibration | None
) -> ModelSpec:
    """The source's spec as it is for the converted file: bytes in, normalisation in the graph."""
    model = open_interpreter(made)
    channels = spec.input.channels
    quantization = {"uint8": Quantization(1.0, 0), "int8": Quantization(1.0, -128), "float32": None}[io]
    image = dataclasses.replace(
        spec.input, name=model.input.name, dtype=io, quantization=model.input.quantization or quantization
    )
    output = OutputSpec(
        model.output.name,
        spec.output.activation,
        model.output.dtype,
        model.output.quantization,
        spec.output.calibration,
    )
    step = f"convert --quantize {scheme} --io {io}"
    provenance = dataclasses.replace(
        spec.provenance,
        source=spec.provenance.source or printable(source.name),
        source_sha256=spec.provenance.source_sha256 or modelfile.digest(source),
        steps=(*spec.provenance.steps, step),
        tools={**spec.provenance.tools, **versions.of(*_TOOLS[made.suffix])},
        calibration_sha256=chosen.sha256 if chosen is not None and scheme in CALIBRATED else "",
    )
    process = dataclasses.replace(spec.preprocess, mean=(0.0,) * channels, std=(1.0,) * channels)
    return dataclasses.replace(
        spec,
        input=image,
        preprocess=process,
        output=output,
        scheme=scheme,
        provenance=provenance,
        golden=(),
        verdict=None,
    )


def _warnings(
    comparison: check.Comparison, reference: NDArray[np.float32], chosen: Calibration | None, spec: ModelSpec
) -> Iterator[str]:
    if chosen is None:
        return
    if comparison.agreement < LOW_AGREEMENT:
        yield (
            f"The converted model agrees with its source on only {comparison.agreement:.1%} of the calibration images. "
            "Validate it before you use it."
        )
    data = chosen.images
    if data.labels is None:
        return
    try:
        index_of = align(data.labels, spec.labels, str(data.source), "the model")
    except DataError as error:
        yield f"{error.message} The images calibrate the model all the same."
        return
    truth = [index_of[label] for label in data.targets()]
    right = float((reference.argmax(1) == truth).mean())
    chance = max(truth.count(label) for label in set(truth)) / len(truth)
    if len(truth) >= MIN_JUDGED and right <= chance and len(set(truth)) > 1:
        yield (
            f"The float model itself gets only {right:.1%} of the calibration images right. "
            "Are the labels in the order of the model's outputs, and mean, std and resize those of its training?"
        )


def _golden_candidates(chosen: Calibration | None, spec: ModelSpec) -> Iterator[NDArray[np.uint8]]:
    if chosen is not None:
        for index in range(min(GOLDEN_CANDIDATES, len(chosen.images))):
            yield chosen.images.read(index, spec.preprocess.orientation)
