"""From a float core to a finished file: quantized by a plan, with a byte input, names and a spec."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekit.convert.float_core import GRAPHS
from edgekit.core import child, embed, versions
from edgekit.core.errors import ConversionError, ModelFileError
from edgekit.core.learned_ranges import Ranges
from edgekit.quantize.estimators import estimate
from edgekit.quantize.observe import Statistics
from edgekit.quantize.plan import Plan
from edgekit.runtime import modelfile
from edgekit.runtime.classify import Classifier
from edgekit.runtime.interpreters import open_interpreter
from edgekit.runtime.spec import ModelSpec, OutputSpec, Quantization, printable

QUANTIZERS = {
    "tflite": "edgekit.quantize.litert_adapter:quantize",
    "onnx": "edgekit.quantize.onnx_adapter:quantize",
}

_TOOLS = {
    ".tflite": ("tensorflow", "tensorflow-cpu", "keras", "litert-quantizer"),
    ".onnx": ("tensorflow", "tensorflow-cpu", "keras", "tf2onnx", "onnx", "onnxruntime"),
}


def quantized(
    core: Path,
    spec: ModelSpec,
    plan: Plan,
    *,
    io: str,
    statistics: Statistics | None,
    work: Path,
    learned: Ranges | None = None,
) -> Path:
    """Quantize a float core in a child process, and give the result its input type and names.

    Args:
        core: see `float_core.float_core`; repaired already where the plan says so.
        spec: the source's.
        io: uint8, float32, or int8 (int8 `.tflite` only).
        statistics: of the core's activations; for calibrated schemes.
        work: a folder for this file and what comes before it.
        learned: ranges of activations by tensor, which are not estimated then.

    Returns:
        A file in `work`, without a spec.

    Raises:
        ConversionError: the quantizer failed.
        ChildCrashed: it crashed.
    """
    target = core.suffix.lstrip(".")
    made = core
    byte_io = (target, plan.scheme) == ("tflite", "int8") and io != "float32"  # the quantizer makes bytes itself
    if plan.scheme != "none":
        made = work / f"quantized.{target}"
        ranges: Ranges | None = None
        if plan.calibrated:
            estimated = {}
            if statistics is not None:
                estimated = estimate(statistics, plan.ranges, 16 if plan.scheme == "int16x8" else 8)
            ranges = {**estimated, **(learned or {})}
        extra: dict[str, Any] = {}
        if target == "tflite":
            extra = {"io": io if byte_io else "float32", "probabilities": spec.output.activation != "logits"}
        child.call(
            QUANTIZERS[target],
            purpose=f"Quantizing to {plan.scheme}",
            source=str(core),
            target=str(made),
            plan=plan.to_json(),
            ranges=ranges,
            **extra,
        )
    finished = work / f"quantized-and-named.{target}"
    graph = GRAPHS[target](made)
    graph.name_tensors()
    if io == "uint8" and not byte_io:
        graph.prepend_byte_input()
    graph.save(finished)
    return finished


def finished_spec(
    spec: ModelSpec, source: Path, made: Path, plan: Plan, *, io: str, step: str, calibration_sha256: str
) -> ModelSpec:
    """The source's spec as it is for a converted file: bytes in, normalisation in the graph.

    Args:
        made: what `quantized` gave.
        step: the command, for the provenance.
        calibration_sha256: of the representative dataset; left out where the plan needs none.
    """
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
    provenance = dataclasses.replace(
        spec.provenance,
        source=spec.provenance.source or printable(source.name),
        source_sha256=spec.provenance.source_sha256 or modelfile.digest(source),
        steps=(*spec.provenance.steps, step),
        tools={**spec.provenance.tools, **versions.of(*_TOOLS[made.suffix])},
        calibration_sha256=calibration_sha256 if plan.calibrated else "",
    )
    process = dataclasses.replace(spec.preprocess, mean=(0.0,) * channels, std=(1.0,) * channels)
    return dataclasses.replace(
        spec,
        input=image,
        preprocess=process,
        output=output,
        scheme=plan.scheme,
        provenance=provenance,
        golden=(),
        verdict=None,
    )


def opened(made: Path, spec: ModelSpec, target: Path) -> Classifier:
    """Write a made file with its spec to `target`, and open that."""
    embed.write_spec(made, spec, target)
    return Classifier(target)


@contextmanager
def running(what: str) -> Iterator[None]:
    """A made file that its interpreter refuses is a failed conversion, not a bad input."""
    try:
        yield
    except ModelFileError as error:
        raise ConversionError(f"{what} gave a file that does not run. Nothing was written.", error.message) from error
