"""The float core: a source as the float32 file that takes pixels from 0 to 255, which every scheme starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.convert import check
from edgekit.convert.learned import PROBED
from edgekit.convert.onnx_graph import OnnxGraph
from edgekit.convert.tflite_graph import TFLiteGraph
from edgekit.core import child
from edgekit.core.errors import ImportRefused, SpecError
from edgekit.core.learned_ranges import Ranges
from edgekit.quantize.calibration import Calibration
from edgekit.runtime import modelfile, preprocess
from edgekit.runtime.interpreters import open_interpreter
from edgekit.runtime.spec import PATTERNS, ModelSpec, printable

GRAPHS: dict[str, type[TFLiteGraph] | type[OnnxGraph]] = {"tflite": TFLiteGraph, "onnx": OnnxGraph}
CONVERSION_TIMEOUT = 3600.0  # seconds; HDF5 loops for ever on some damaged files
PROBES = 5
TRACES = "traces.npz"
COLOURS = ((0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255))


def source_spec(source: Path) -> ModelSpec:
    """The spec of a model that can be converted.

    Raises:
        ImportRefused: it is no model file, or its format is one that has no spec, or it is quantized already.
        SpecError: it carries no spec, or a bad one.
    """
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


def probe_pixels(spec: ModelSpec, chosen: Calibration | None) -> NDArray[np.uint8]:
    """What source and conversion are compared on: patterns, plain colours, and a few images where there are any."""
    made = [preprocess.pattern(name, *spec.size) for name in PATTERNS]
    made += [np.full((*spec.size, 3), colour, np.uint8) for colour in COLOURS]
    images = chosen.pixels[:PROBES] if chosen is not None else ()
    return np.stack([*(preprocess.pixels(image, spec) for image in made), *images])


def float_core(
    source: Path,
    spec: ModelSpec,
    target: str,
    pixels: NDArray[np.uint8],
    work: Path,
    allow_lambda: bool,
    learned: Ranges | None = None,
) -> Path:
    """Write the source to `work` as a float32 file that takes pixels 0..255 and normalises them itself.

    Args:
        source: a `.keras` file, or a float file of the target's format, that has been vetted.
        target: tflite or onnx.
        pixels: what source and result are compared on, uint8 [N, height, width, channels]; see `probe_pixels`.
        allow_lambda: load Lambda layers, which run code from the file.
        learned: what `learned_ranges.read` gives for the source; then `TRACES` is written to `work` as well.

    Returns:
        `core.tflite` or `core.onnx` in `work`.

    Raises:
        ImportRefused: the source is quantized, or its format cannot become the target's.
        ConversionError: the conversion failed, or its result answers differently.
    """
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
            trace=_trace(spec, learned, work / TRACES) if learned is not None else None,
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
    if target == "onnx":
        child.call(
            "edgekit.quantize.onnx_adapter:prepare",
            purpose=f"Preparing {printable(source.name)}",
            source=str(core),
            target=str(core),
        )
    made = check.run_float(open_interpreter(core), pixels, spec.input.layout)
    check.require_equal(reference, made, printable(source.name))
    return core


def _trace(spec: ModelSpec, learned: Ranges, target: Path) -> dict[str, Any]:
    mean, std = (np.array(values) for values in (spec.preprocess.mean, spec.preprocess.std))
    ends = (np.array([[0], [255]]) - mean) / std
    return {
        "probed": PROBED, "taken": [float(ends.min()), float(ends.max())], "learned": learned, "target": str(target)
    }
