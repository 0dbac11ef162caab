"""Whether images can calibrate a model, measured: all that `edgekit calibrate` says, and what `convert` warns of."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.convert import check
from edgekit.convert.float_core import float_core, probe_pixels, source_spec
from edgekit.core import probe
from edgekit.core.errors import DataError
from edgekit.data.dataset import open_dataset
from edgekit.data.stream import BadImages, readable
from edgekit.quantize import calibration
from edgekit.quantize.calibration import Calibration
from edgekit.quantize.evidence import answers, classes, effects, ranges
from edgekit.quantize.evidence.finding import NOTE, REFUSAL, WARNING, Finding
from edgekit.quantize.evidence.ranges import Extremes, Settling
from edgekit.quantize.observe import Statistics, observe
from edgekit.runtime import modelfile, preprocess
from edgekit.runtime.interpreters import open_interpreter
from edgekit.runtime.spec import PATTERNS, ModelSpec, printable

LEVELS = (REFUSAL, WARNING, NOTE)
FIT, DOUBTFUL, UNFIT = "fit", "doubtful", "unfit"


@dataclass(frozen=True)
class CalibrationCheck:
    """What was found about images that are to calibrate a model.

    Attributes:
        images: how many were looked at.
        available: how many the data set has.
        outcome: fit; doubtful, where there are warnings; or unfit, where `edgekit convert` would refuse them.
        verdict: all of it in one line.
        findings: the worst first.
        settling: how the ranges of the layers grow with the number of images.
        accuracy: of the float model on the images; None without labels that it knows.
        skipped: images that could not be read, with the reason.
    """

    model: Path
    data: Path
    images: int
    available: int
    outcome: str
    verdict: str
    findings: tuple[Finding, ...]
    settling: Settling
    accuracy: float | None
    skipped: tuple[tuple[str, str], ...]


def check_calibration(
    source: str | Path,
    data: str | Path,
    *,
    samples: int = 200,
    seed: int = 0,
    max_bad: int = 0,
    allow_lambda: bool = False,
) -> CalibrationCheck:
    """Look at the images that `convert` would calibrate a model on, and at what they do to it.

    Args:
        source: a `.keras`, or float `.tflite` or `.onnx` file with a spec.
        data: as `edgekit.data.dataset.open_dataset` reads it.
        samples: how many images to use, evenly over the classes.
        seed: which ones.
        max_bad: how many unreadable images may be skipped.
        allow_lambda: load Lambda layers, which run code from the file.

    Raises:
        EdgekitError: see the tree in `edgekit.core.errors`.
    """
    source, data = Path(source), Path(data)
    spec = source_spec(source)
    probe.vet(source)
    bad = BadImages(max_bad)
    everything = readable(open_dataset(data), bad)
    chosen = calibration.gather(everything, spec, samples, seed, bad)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        target = "onnx" if modelfile.sniff(source) == "onnx" else "tflite"
        core = float_core(source, spec, target, probe_pixels(spec, chosen), Path(folder), allow_lambda)
        findings, settling, accuracy = examine(core, spec, chosen, printable(source.name))
    return CalibrationCheck(
        source,
        data,
        len(chosen.images),
        len(everything),
        outcome(findings),
        verdict(findings, settling, len(chosen.images), len(everything)),
        tuple(findings),
        settling,
        accuracy,
        tuple(bad.skipped),
    )


def examine(
    core: Path, spec: ModelSpec, chosen: Calibration, name: str
) -> tuple[list[Finding], Settling, float | None]:
    """All findings with their effects, the worst first; how ranges settle; the float model's accuracy.

    Args:
        core: the float core.
        spec: the source's.
        chosen: the images, as `calibration.gather` gives them.
        name: how to call the source.

    Raises:
        ConversionError: an answer of the model is not a number.
    """
    outputs = check.run_float(open_interpreter(core), chosen.pixels, spec.input.layout)
    check.require_finite(outputs, name)
    truth = known_truth(chosen, spec)
    extremes = Extremes.of(observe(core, chosen.pixels, spec.input.layout, os.cpu_count() or 1, histograms=False))
    patterns = np.stack([preprocess.pixels(preprocess.pattern(name, *spec.size), spec) for name in PATTERNS])
    usual = observe(core, patterns, spec.input.layout, histograms=False)
    findings = [
        *chosen.findings,
        *answer_findings(core, outputs, chosen, spec, only_if_doubtful=False),
    ]
    findings = list(effects.with_effects(findings, extremes, Extremes.of(usual, extremes.names), truth))
    settling = settled(extremes, chosen.findings)
    if outcome(findings) != UNFIT:
        findings += range_findings(extremes, settling, chosen.names)
    accuracy = None if truth is None else answers.read(outputs, truth, spec).accuracy
    return sorted(findings, key=lambda each: LEVELS.index(each.level)), settling, accuracy


def findings_about(
    core: Path,
    outputs: NDArray[np.float32],
    chosen: Calibration,
    spec: ModelSpec,
    statistics: Statistics | None,
) -> list[Finding]:
    """What a conversion, which has the float core's outputs [N, …] and statistics, finds out at next to no cost."""
    findings = [*chosen.findings, *answer_findings(core, outputs, chosen, spec, only_if_doubtful=True)]
    if statistics is not None:
        extremes = Extremes.of(statistics)
        findings += range_findings(extremes, settled(extremes, chosen.findings), chosen.names)
    return findings


def known_truth(chosen: Calibration, spec: ModelSpec) -> NDArray[np.int64] | None:
    """The classes of the images, as indices into the spec's labels; None where the model does not know them."""
    try:
        return chosen.truth(spec)
    except DataError:
        return None


def answer_findings(
    core: Path, outputs: NDArray[np.float32], chosen: Calibration, spec: ModelSpec, *, only_if_doubtful: bool
) -> Iterator[Finding]:
    """What the classes of the images and the float model's answers say.

    Args:
        core: the float core.
        outputs: its raw outputs [N, …] for the images.
        only_if_doubtful: run it again, fed in other ways, only where its answers give a reason to.
    """
    truth = None
    try:
        truth = chosen.truth(spec)
    except DataError as error:
        yield Finding("classes", WARNING, f"{error.message} The images calibrate the model all the same.")
    if truth is not None:
        yield from classes.examine(truth, spec.labels)
    interpreter = open_interpreter(core)
    yield from answers.examine(
        answers.read(outputs, truth, spec),
        chosen.pixels,
        lambda pixels: check.run_float(interpreter, pixels, spec.input.layout),
        spec,
        only_if_doubtful=only_if_doubtful,
    )


def settled(extremes: Extremes, findings: Iterable[Finding]) -> Settling:
    """How ranges settle with the number of different images."""
    copied = [position for finding in findings if finding.kind == "copies" for position in finding.positions]
    return ranges.settling(extremes.without(copied))


def range_findings(extremes: Extremes, settling: Settling, names: list[str]) -> Iterator[Finding]:
    """What the ranges of the layers say."""
    unsettled = effects.settling_finding(settling)
    if unsettled:
        yield unsettled
    yield from effects.outlier_findings(extremes, names)


def outcome(findings: Iterable[Finding]) -> str:
    """fit, doubtful or unfit."""
    levels = {finding.level for finding in findings}
    return UNFIT if REFUSAL in levels else DOUBTFUL if WARNING in levels else FIT


def verdict(findings: Iterable[Finding], settling: Settling, images: int, available: int) -> str:
    """All of it in one line."""
    findings = list(findings)
    found = outcome(findings)
    level = {UNFIT: REFUSAL, DOUBTFUL: WARNING, FIT: ""}[found]
    kinds = dict.fromkeys(one.kind for one in findings if one.level == level and one.kind != "settling")
    reasons = ", ".join(kinds)  # "settling" is told at the end
    said = {UNFIT: "not fit to calibrate", DOUBTFUL: "doubtful", FIT: "fit to calibrate"}[found]
    of = f" of {available:,}" if images < available else ""
    line = f"{images:,}{of} {'image' if available == 1 else 'images'}: {said}{f' ({reasons})' if reasons else ''}"
    if found == UNFIT:
        return line
    if settling.enough is None:
        return f"{line}; more images would make the ranges surer"
    return f"{line}; {settling.enough} would have been enough" if settling.enough < images else line
