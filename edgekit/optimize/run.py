"""`edgekit optimize`: the best quantization of a model within budgets, found, written, and judged on unseen images."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.convert import check, finish
from edgekit.convert.calibrate import findings_about
from edgekit.convert.float_core import source_spec
from edgekit.core import files, fitness, probe, versions
from edgekit.core.errors import ConversionError, DataError, EdgekitError
from edgekit.core.resume import WorkFolder, work_folder
from edgekit.data.dataset import Dataset, open_dataset
from edgekit.data.labels import align
from edgekit.data.stream import BadImages, map_images, readable
from edgekit.optimize import choice
from edgekit.optimize.bench import Bench
from edgekit.optimize.material import Core, Material, make_core
from edgekit.optimize.search import Search
from edgekit.optimize.split import Parts, split
from edgekit.optimize.training import train_on, training_data
from edgekit.quantize import calibration
from edgekit.quantize.evidence.finding import WARNING
from edgekit.quantize.observe import Statistics
from edgekit.quantize.plan import Plan
from edgekit.runtime import preprocess
from edgekit.runtime.classify import to_scores
from edgekit.runtime.interpreters import open_interpreter
from edgekit.runtime.spec import ModelSpec, printable
from edgekit.validate import stamp
from edgekit.validate.gate import FAIL, Gate
from edgekit.validate.optimized import OBJECTIVES, OK, UNFIT, Optimized, Row
from edgekit.validate.run import Validation, validate

TARGETS = ("android", "raspberry-pi", "any")
SCHEMES = {
    "tflite": ("none", "float16", "weight8", "dynamic", "int8", "int16x8", "weight4", "dynamic4"),
    "onnx": ("none", "float16", "dynamic", "int8"),
}
OWN_FILES = ("*.npy", "core.*", "trained*", "row-*")
TOOLS = ("keras", "tensorflow", "tensorflow-cpu", "ai-edge-litert", "litert-quantizer", "onnx", "onnxruntime")

OnEvent = Callable[[dict[str, Any]], None]


def optimize(
    source: str | Path,
    data: str | Path | Dataset,
    output: str | Path,
    *,
    gate: Gate | None = None,
    objective: str = "size",
    target: str | None = None,
    io: str = "uint8",
    keep: str | Path | None = None,
    resume: str | Path | None = None,
    latencies: Mapping[str, float] | None = None,
    seed: int = 0,
    max_bad: int = 0,
    allow_lambda: bool = False,
    allow_training: str | Path | None = None,
    on_event: OnEvent = lambda event: None,
) -> Optimized:
    """Find the best quantization of a model within budgets, and write it with its spec, golden answers and verdict.

    The data is split by content: ranges are calibrated on a quarter of it, candidates chosen by 35 %, and the winner is
    judged against the source on the rest, which nothing was tuned on. Nothing is written when no candidate is within
    the budgets, or when the winner fails there.

    Args:
        source: a `.keras`, or float `.tflite` or `.onnx` file with a spec.
        data: images, with labels or without, as `edgekit.data.dataset.open_dataset` reads them.
        output: the `.tflite` or `.onnx` file to write.
        gate: the budgets; without it, a drop of 1 point, or without labels an agreement of 98 %.
        objective: what is best among candidates within the budgets: size, latency or accuracy.
        target: whose runtime must be able to run it: android, raspberry-pi or any; by default android for `.tflite`
            and any for `.onnx`.
        io: type of the input, as in `edgekit.convert`.
        keep: a folder that all candidates are copied to.
        resume: a folder that keeps the search until it has succeeded; one that was stopped goes on from there.
        latencies: milliseconds by a candidate's name (`Optimized.latencies`), taken instead of measuring them: then the
            same seed gives the same file, byte for byte.
        seed: of the split.
        max_bad: how many unreadable images may be skipped.
        allow_lambda: load Lambda layers, which run code from the file.
        allow_training: labelled images that a `.keras` source may be trained on with fake quantization, as a last
            resort. Those that candidates are judged by are left out.
        on_event: called, by one thread at a time, with {"stage": text}, {"begun": name of a candidate}, {"scored": Row}
            (without its latency), {"row": Row}, {"layer": name} (measured alone) and {"step": Step}.

    Raises:
        EdgekitError: a model, the data or a setting cannot be used; nothing is written then.
    """
    source, output = Path(source), Path(output)
    gate, keep = gate or Gate(), Path(keep) if keep is not None else None
    kind, target = _check(source, output, objective, target, io, keep)
    spec = source_spec(source)
    probe.vet(source)
    bad = BadImages(max_bad)
    on_event({"stage": "Reading the data"})
    dataset = readable(data if isinstance(data, Dataset) else open_dataset(Path(data)), bad)
    if dataset.labels is not None:
        align(dataset.labels, spec.labels, str(dataset.source), source.name)  # better now than at the end
    parts = _all_readable(split(dataset, seed), spec, bad)
    training = None
    if allow_training is not None:
        training = training_data(source, spec, Path(allow_training), [parts.selection, parts.final], bad)
    identity = {
        "model": files.sha256(source),
        "data": dataset.digest(),
        "format": kind,
        "target": target,
        "io": io,
        "seed": seed,
        "training data": training.digest() if training is not None else "",
        "versions": versions.of(*TOOLS),
    }
    with work_folder(Path(resume) if resume is not None else None, identity, OWN_FILES, "search") as folder:
        material, parts = _prepare(source, spec, kind, parts, bad, folder, io, target, allow_lambda, on_event)
        bench = Bench(material, latencies or {}, on_event)

        def train_first() -> str:
            assert training is not None
            bench.trained = _train(source, training, parts, kind, folder, material, seed, allow_lambda, on_event)
            return f"{len(training):,} images that nothing is judged by"

        search = Search(
            bench.measure,
            bench.rank,
            None if training is None else train_first,
            gate=gate,
            labelled=material.truth is not None,
            objective=objective,
            width=bench.workers,
            stamp_bytes=0 if gate.max_size_bytes is None else _stamp_bytes(material, spec, parts.final),
            on_step=lambda step: on_event({"step": step}),
        )
        search.try_schemes(("int8",) if io == "int8" else SCHEMES[kind], material.core.has_learned)
        search.repair()
        search.select()
        search.train()
        if not any(row.status in (OK, UNFIT) for row in search.rows):
            raise ConversionError(f"No candidate could be made. {search.rows[0].name}: {search.rows[0].reason}")
        search.conclude()
        winner, final = search.winner, None
        if winner is not None:
            on_event({"stage": f"Judging {search.rows[winner].name} on the final part"})
            final = _judge(source, bench.path(search.rows[winner].plan), folder, parts, gate, allow_lambda)
        written = final is not None and final.candidates[0].judgement.outcome != FAIL
        if written:
            files.copy(_winner_file(folder, kind), output)
            probe.mark_vetted(output)
        rows = _keep(search.rows, bench, keep) if keep is not None else search.rows
        if written:
            folder.clear()
    return Optimized(
        source=source,
        data=dataset.source,
        output=output if written else None,
        target=target,
        objective=objective,
        gate=gate,
        parts=parts.sizes,
        labelled=material.truth is not None,
        labels=spec.labels,
        reference_top1=None if material.truth is None else _top1(material),
        reference_size_bytes=source.stat().st_size,
        rows=tuple(rows),
        front=choice.front(rows),
        winner=winner,
        sensitivity=tuple(search.sensitivity),
        trail=tuple(search.trail),
        final=None if final is None else dataclasses.replace(final.candidates[0], path=output),
        seed=seed,
        latencies={row.name: row.latency_ms for row in rows if row.latency_ms is not None},
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        warnings=(*parts.notes, *_unknown(bench), *(_narrow(output) if written and target == "raspberry-pi" else ())),
        skipped=tuple(bad.skipped),
        evidence=None if final is None else final.evidence,
    )


def read_latencies(path: Path) -> dict[str, float]:
    """The recorded latencies in the JSON of an earlier search.

    Raises:
        DataError: the file cannot be read, or holds none.
    """
    name = printable(str(path))
    try:
        found = json.loads(path.read_text("utf-8"))["latencies"]
        latencies = {str(plan): float(value) for plan, value in found.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{name} has no recorded latencies.", "Name what an earlier `edgekit optimize --json` printed."
        ) from error
    if not latencies or not all(0 < value < float("inf") for value in latencies.values()):
        raise DataError(f"{name}: latencies must be milliseconds above 0.")
    return latencies


def _check(
    source: Path, output: Path, objective: str, target: str | None, io: str, keep: Path | None
) -> tuple[str, str]:
    """The format and the target; what can be refused is refused before an image is read."""
    kind = output.suffix.lower().lstrip(".")
    if kind not in SCHEMES:
        raise EdgekitError(f"Cannot tell from {printable(output.name)} what to write.", "End it with .tflite or .onnx.")
    target = target or {"tflite": "android", "onnx": "any"}[kind]
    if objective not in OBJECTIVES:
        raise EdgekitError(f"There is no objective {printable(objective)!r}.", f"Choose: {', '.join(OBJECTIVES)}.")
    if target not in TARGETS:
        raise EdgekitError(f"There is no target {printable(target)!r}.", f"Choose one of: {', '.join(TARGETS)}.")
    if kind == "onnx" and target == "android":
        raise EdgekitError("An app for Android runs .tflite files.", "End the output with .tflite.")
    if io == "int8" and kind != "tflite":
        raise EdgekitError("--io int8 needs a .tflite output.")
    if output.resolve() == source.resolve():
        raise EdgekitError(f"The output {printable(str(output))} is the source itself.", "Name another file with -o.")
    files.check_target(output)
    if keep is not None:
        if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
            raise EdgekitError(f"--keep {printable(str(keep))} exists and is no empty folder.", "Name a new folder.")
        parent = next(each for each in keep.absolute().parents if each.exists())
        if not parent.is_dir():
            raise EdgekitError(f"{printable(str(parent))} is no folder.", "Choose another --keep.")
        files.check_target(parent / "folder", "--keep")
    return kind, target


def _all_readable(parts: Parts, spec: ModelSpec, bad: BadImages) -> Parts:
    """Without the images of the final part that cannot be decoded: better now than when all the work is done."""
    good = map_images(lambda image: None, parts.final, bad, orientation=spec.preprocess.orientation)
    return dataclasses.replace(parts, final=parts.final.subset([index for index, _ in good]))


def _prepare(
    source: Path, spec: ModelSpec, kind: str, parts: Parts, bad: BadImages, folder: WorkFolder, io: str, target: str,
    allow_lambda: bool, on_event: OnEvent,
) -> tuple[Material, Parts]:
    """Decode once, convert once, and answer the selection part with the float core; gives the readable images, too."""
    chosen = calibration.choose(parts.calibration, spec, len(parts.calibration), 0, bad)
    prepared = map_images(
        lambda image: preprocess.pixels(image, spec), parts.selection, bad, orientation=spec.preprocess.orientation
    )
    kept, pixels = zip(*prepared, strict=True)
    selection, selected = np.stack(pixels), parts.selection.subset(kept)
    to_calibrate, to_select = folder.path / "calibration.npy", folder.path / "selection.npy"
    np.save(to_calibrate, chosen.pixels)
    np.save(to_select, selection)
    on_event({"stage": f"Converting {printable(source.name)} to float, and observing it on the calibration part"})
    core = make_core("core", source, spec, kind, chosen, folder.path, allow_lambda)
    interpreter = open_interpreter(core.path)
    outputs = check.run_float(interpreter, selection, spec.input.layout)
    check.require_alive(outputs, printable(source.name))
    answers = check.run_float(interpreter, chosen.pixels, spec.input.layout)
    findings = findings_about(core.path, answers, chosen, spec, Statistics.load(core.statistics))
    calibration.require_fit(findings)
    warnings = [finding.text for finding in findings if finding.level == WARNING]
    truth = None
    if selected.labels is not None:
        truth = np.array(align(selected.labels, spec.labels, str(selected.source), source.name))[selected.targets()]
    material = Material(
        folder.path, core, chosen, to_calibrate, to_select, io, target, f"optimize --for {target} --io {io}",
        to_scores(outputs, spec.output, len(spec.labels)), truth,
    )
    return material, dataclasses.replace(
        parts, calibration=chosen.images, selection=selected, notes=(*parts.notes, *warnings)
    )


def _train(
    source: Path, data: Dataset, parts: Parts, kind: str, folder: WorkFolder, material: Material, seed: int,
    allow_lambda: bool, on_event: OnEvent,
) -> Core:
    """Train the source on; gives the float core of the result."""
    output, stage = folder.path / "trained.keras", "Training with fake quantization"
    on_event({"stage": stage})

    def note(progress: dict[str, Any]) -> None:
        if "total" in progress:
            on_event({"stage": f"{stage}: {progress['done']} of {progress['total']} epochs"})

    train_on(
        source,
        data,
        parts.calibration,
        output,
        seed=seed,
        resume=folder.path / "trained" if folder.keep else None,
        on_progress=note,
    )
    return make_core("trained", output, source_spec(output), kind, material.chosen, folder.path, allow_lambda)


def _stamp_bytes(material: Material, spec: ModelSpec, final: Dataset) -> int:
    """What the verdict and the golden answers will add to a candidate, measured on the float core."""
    core, plan = material.core, Plan("none")
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder, finish.running("The conversion to float"):
        made = finish.quantized(core.path, spec, plan, io="float32", statistics=None, work=Path(folder))
        finished = finish.finished_spec(
            spec, core.source, made, plan, io="float32", step=material.step, calibration_sha256=""
        )
        target = Path(folder) / core.path.name
        finish.opened(made, finished, target)
        return stamp.size_with(target, stamp.answers(target, final)) - target.stat().st_size


def _winner_file(folder: WorkFolder, kind: str) -> Path:
    return folder.path / f"row-winner.{kind}"


def _judge(
    source: Path, candidate: Path, folder: WorkFolder, parts: Parts, gate: Gate, allow_lambda: bool
) -> Validation:
    """Stamp a copy of the winner with what it is worth on the final part.

    Latency is no part of that judgement: it has nothing to do with images, and was measured already.
    """
    copy = _winner_file(folder, candidate.suffix.lstrip("."))
    files.copy(candidate, copy)
    return validate(
        source,
        [copy],
        parts.final,
        gate=dataclasses.replace(gate, max_latency_ms=None),
        stamp=True,
        allow_lambda=allow_lambda,
    )


def _keep(rows: list[Row], bench: Bench, folder: Path) -> list[Row]:
    """Copy all candidates into a folder; gives the rows with their names there."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = []
    for number, row in enumerate(rows, 1):
        path = bench.path(row.plan)
        if path.is_file():
            slug = re.sub(r"[^a-z0-9]+", "-", row.name)
            row = dataclasses.replace(row, file=f"{number:02}-{slug}{path.suffix}")
            files.copy(path, folder / str(row.file))
        kept.append(row)
    return kept


def _narrow(path: Path) -> Iterator[str]:
    """What a 32-bit Raspberry Pi, which has an older runtime than 64-bit ones, does not run."""
    if path.suffix.lower() == ".tflite" and (reason := fitness.runs_on(path, "raspberry-pi")):
        yield f"It is for 64-bit systems: {reason}."


def _top1(material: Material) -> float:
    return float((material.reference.argmax(1) == material.truth).mean())


def _unknown(bench: Bench) -> list[str]:
    if not bench.unknown:
        return []
    return [f"the recorded latencies lack {len(bench.unknown)} candidates, which were measured: {bench.unknown[0]}, …"]
