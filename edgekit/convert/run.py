"""`edgekit convert`: from a model with a spec to a quantized, checked file with a spec."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.convert import check, finish
from edgekit.convert.calibrate import findings_about
from edgekit.convert.float_core import TRACES, float_core, probe_pixels, source_spec
from edgekit.convert.learned import PROBED, LearnedRanges, by_tensor
from edgekit.core import embed, files, fitness, golden, learned_ranges, probe
from edgekit.core.errors import ConversionError, EdgekitError
from edgekit.data.dataset import open_dataset
from edgekit.data.splits import evenly
from edgekit.data.stream import BadImages, readable
from edgekit.quantize import calibration
from edgekit.quantize.calibration import Calibration
from edgekit.quantize.evidence.finding import WARNING, Finding
from edgekit.quantize.observe import observe
from edgekit.quantize.plan import CALIBRATED, Plan
from edgekit.runtime import preprocess
from edgekit.runtime.classify import to_scores
from edgekit.runtime.interpreters import open_interpreter
from edgekit.runtime.spec import ModelSpec, printable

SCHEMES = {
    "tflite": ("none", "float16", "dynamic", "weight8", "weight4", "dynamic4", "int8", "int16x8"),
    "onnx": ("none", "float16", "dynamic", "int8"),
}
GOLDEN_CANDIDATES = 24
LOW_AGREEMENT = 0.9


@dataclass(frozen=True)
class Converted:
    """What `convert` wrote.

    `agreement` with the float source is over the calibration images, None without; `skipped` are those that could not
    be read, with the reason. `findings` are about the calibration images; those that matter are among the warnings.
    `ranges` says where those of the activations come from; empty for schemes without.
    """

    path: Path
    scheme: str
    size: int
    agreement: float | None
    max_difference: float | None
    warnings: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...]
    ranges: str


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
        quantize: none, float16, dynamic or int8; for `.tflite` also weight8, weight4, dynamic4 and int16x8.
        calibrate: the data for int8 and int16x8, as `edgekit.data.dataset.open_dataset` reads it. A model of
            quantization-aware training needs none for int8: its ranges are those that it has learned.
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
    target = _target(source, output, quantize, io)
    spec = source_spec(source)
    learned = learned_ranges.read(source) if quantize == "int8" else None
    if quantize in CALIBRATED and calibrate is None and learned is None:
        raise EdgekitError(
            f"--quantize {quantize} needs images to measure the ranges of the activations on.",
            "Add --calibrate DATA: a folder, manifest or .npz of images like those the device will see.",
        )
    probe.vet(source)
    plan = Plan(quantize)
    chosen, bad = None, BadImages(max_bad)
    if calibrate is not None:
        chosen = calibration.choose(readable(open_dataset(Path(calibrate)), bad), spec, samples, seed, bad)

    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        work = Path(folder)
        pixels = probe_pixels(spec, chosen)
        core = float_core(source, spec, target, pixels, work, allow_lambda, learned)
        found = None
        if learned is not None:
            found = by_tensor(core, spec, pixels[:PROBED], work / TRACES)
            if found.missing and chosen is None:
                raise _no_range(source, found)
        seen = chosen.pixels if chosen is not None else pixels
        outputs = check.run_float(open_interpreter(core), seen, spec.input.layout)
        check.require_alive(outputs, printable(source.name))
        statistics, findings = None, list[Finding]()
        if chosen is not None:
            if plan.calibrated:
                statistics = observe(core, chosen.pixels, spec.input.layout, os.cpu_count() or 1, histograms=False)
            findings = findings_about(core, outputs, chosen, spec, statistics)
            calibration.require_fit(findings)
        quantized = finish.quantized(
            core, spec, plan, io=io, statistics=statistics, work=work, learned=found.ranges if found else None
        )
        reference = to_scores(outputs, spec.output, len(spec.labels))
        with finish.running(f"Converting {printable(source.name)} with --quantize {quantize}"):
            made = finish.finished_spec(
                spec,
                source,
                quantized,
                plan,
                io=io,
                step=f"convert --quantize {quantize} --io {io}",
                calibration_sha256=chosen.sha256 if chosen is not None else "",
            )
            bare = work / f"bare.{target}"
            classifier = finish.opened(quantized, made, bare)
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
        (
            *(_warnings(comparison, findings) if chosen is not None else ()),
            *filter(None, [fitness.advice(output, quantize)]),
        ),
        tuple(bad.skipped),
        tuple(findings),
        _said(found, chosen) if plan.calibrated else "",
    )


def _no_range(source: Path, found: LearnedRanges) -> ConversionError:
    names = ", ".join(printable(name)[:60] for name in found.missing[:3])
    return ConversionError(
        f"{printable(source.name)} has learned no range for {len(found.missing)} of the "
        f"{len(found.ranges) + len(found.missing)} activations: {names}{', …' if len(found.missing) > 3 else ''}.",
        "Add --calibrate DATA: images give these ranges, and training those of the others.",
    )


def _said(found: LearnedRanges | None, chosen: Calibration | None) -> str:
    """Where the ranges of the activations come from."""
    if found is None:
        assert chosen is not None
        return f"measured on {len(chosen.images)} images"
    if not found.missing:
        return "learned in training" + (", the images check the result only" if chosen is not None else "")
    return f"{len(found.ranges)} learned in training, {len(found.missing)} measured on the images"


def default_output(source: Path) -> Path:
    """The `.tflite` file beside the source, where no other is named."""
    return source.parent / f"{source.absolute().stem}.tflite"


def _target(source: Path, output: Path, quantize: str, io: str) -> str:
    target = output.suffix.lower().lstrip(".")
    if target not in SCHEMES:
        raise EdgekitError(f"Cannot tell from {printable(output.name)} what to write.", "End it with .tflite or .onnx.")
    if quantize not in SCHEMES[target]:
        raise EdgekitError(
            f"--quantize {quantize} does not exist for .{target} files.",
            f"Choose one of: {', '.join(SCHEMES[target])}.",
        )
    if io == "int8" and (target, quantize) != ("tflite", "int8"):
        raise EdgekitError("--io int8 needs --quantize int8 and a .tflite output.")
    if output.resolve() == source.resolve():
        raise EdgekitError(f"The output {printable(str(output))} is the source itself.", "Name another file with -o.")
    files.check_target(output)
    return target


def _warnings(comparison: check.Comparison, findings: Sequence[Finding]) -> Iterator[str]:
    if comparison.agreement < LOW_AGREEMENT:
        yield (
            f"The converted model agrees with its source on only {comparison.agreement:.1%} of the calibration images. "
            "Validate it before you use it."
        )
    yield from (finding.text for finding in findings if finding.level == WARNING)


def _golden_candidates(chosen: Calibration | None, spec: ModelSpec) -> Iterator[NDArray[np.uint8]]:
    if chosen is not None:
        for index in evenly(len(chosen.images), GOLDEN_CANDIDATES):
            yield chosen.images.read(index, spec.preprocess.orientation)
