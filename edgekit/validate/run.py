"""`edgekit validate`: do the candidates answer like their reference?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import DataError, EdgekitError, SpecError
from edgekit.data.dataset import Dataset, open_dataset
from edgekit.data.labels import align
from edgekit.data.stream import BadImages, readable
from edgekit.runtime import modelfile, preprocess
from edgekit.runtime.spec import Crop, ModelSpec, Verdict, printable
from edgekit.validate import stamp as stamps
from edgekit.validate.gate import Gate, Judgement, judge
from edgekit.validate.layer_drift import Drift
from edgekit.validate.layers import Layers
from edgekit.validate.score import Latency, Models, Scored, latency, score
from edgekit.validate.statistics import Parity, compare

MIN_JUDGED = 10  # fewer images may well be of one class


@dataclass(frozen=True)
class Candidate:
    """What was found about one candidate.

    `notes` are differences in how the two models are fed or labelled. `drift` is what was found layer by layer, None
    unless that was asked for.
    """

    path: Path
    scheme: str
    size_bytes: int
    images_per_second: float
    latency: Latency | None
    parity: Parity
    judgement: Judgement
    notes: tuple[str, ...]
    drift: Drift | None = None


@dataclass(frozen=True)
class Evidence:
    """What the outcome rests on, image by image.

    Attributes:
        data: the images that were answered, in the order of the rows below.
        truth: their right labels, indices into the reference's labels, int [N]; None without labels.
        scores: of the reference, then of each candidate, float32 [N, labels], in the order of the reference's labels.
        specs: of the same models.
    """

    data: Dataset
    truth: NDArray[np.int64] | None
    scores: tuple[NDArray[np.float32], ...]
    specs: tuple[ModelSpec, ...]


@dataclass(frozen=True)
class Validation:
    """The outcome for all candidates. `labels` are the reference's; `skipped` the images that could not be read."""

    reference: Path
    reference_size_bytes: int
    reference_images_per_second: float
    reference_latency: Latency | None
    data: Path
    images: int
    labelled: bool
    labels: tuple[str, ...]
    gate: Gate
    candidates: tuple[Candidate, ...]
    skipped: tuple[tuple[str, str], ...]
    evidence: Evidence = field(repr=False, compare=False, metadata={"json": False})

    def failed(self, strict: bool) -> bool:
        """Whether the gate says no: a candidate failed, or (strictly) one is not proven to pass."""
        return any(
            candidate.judgement.outcome == "fail" or (strict and candidate.judgement.outcome != "pass")
            for candidate in self.candidates
        )


def validate(
    reference: str | Path,
    candidates: Sequence[str | Path],
    data: str | Path | Dataset,
    *,
    gate: Gate | None = None,
    stamp: bool = False,
    layers: bool = False,
    max_bad: int = 0,
    allow_lambda: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Validation:
    """Compare each candidate with the reference on the same images, each fed by its own spec.

    Args:
        reference: the model to keep to: `.keras`, `.tflite` or `.onnx`, with a spec.
        candidates: the models to judge, of the same kinds.
        data: images, with labels or without, as `edgekit.data.dataset.open_dataset` reads them.
        gate: the limits.
        stamp: write the verdict and golden answers into each candidate; without it no file is touched.
        layers: compare them layer by layer as well, on some of the images.
        max_bad: how many unreadable images may be skipped.
        allow_lambda: load Lambda layers, which run code from the file.
        on_progress: called with the images done and their number.

    Raises:
        EdgekitError: a model or the data cannot be used, or the layers of the models cannot be compared.
    """
    gate = gate or Gate()
    paths = [Path(reference), *map(Path, candidates)]
    bad = BadImages(max_bad)
    dataset = readable(data if isinstance(data, Dataset) else open_dataset(Path(data)), bad)
    models = Models(paths, allow_lambda)
    try:
        spec = models.specs[0]
        orders = [_label_order(spec, other, paths[0], path) for other, path in zip(models.specs, paths, strict=True)]
        index_of = align(dataset.labels, spec.labels, str(dataset.source), paths[0].name) if dataset.labels else None
        with Layers(paths[0], paths[1:], allow_lambda) if layers else nullcontext() as opened:
            scored, seen = score(models, dataset, bad, on_progress)
            drifts = [opened.drift(number, seen) if opened and len(seen) else None for number in range(len(paths) - 1)]
    finally:
        models.close()
    if not len(seen):
        raise DataError(f"{printable(str(dataset.source))} has no image that can be read.")
    truth = np.array(index_of)[seen.targets()] if index_of is not None else None
    timed = [_latency(path, other, seen) for path, other in zip(paths, models.specs, strict=True)]
    scores = tuple(_by_label(result.scores, order) for result, order in zip(scored, orders, strict=True))
    golden = {path: stamps.answers(path, seen) for path in paths[1:]} if stamp else {}
    undecided = Verdict(stamps.UNDECIDED, "", modelfile.digest(paths[0]), seen.digest(), len(seen)) if stamp else None
    verdicts = []
    found = []
    for path, other, order, result, answers, time, drift in list(
        zip(paths, models.specs, orders, scored, scores, timed, [None, *drifts], strict=True)
    )[1:]:
        try:
            parity = compare(scores[0], answers, truth)
        except EdgekitError as error:
            error.message = f"{printable(path.name)}: {error.message}"
            raise
        size = path.stat().st_size
        if undecided is not None:
            verdicts.append(_verdict(undecided, path, parity, gate))
            size = stamps.size_with(path, golden[path], verdicts[-1])
        judgement = judge(parity, gate, time.p50 if time else None, size)
        notes = (*_doubts(scores[0], spec), *_differences(spec, other, order))
        speed = result.images_per_second
        found.append(Candidate(path, other.scheme, size, speed, time, parity, judgement, notes, drift))
    for number, verdict in enumerate(verdicts):
        path, outcome = found[number].path, found[number].judgement.outcome
        stamps.write(path, dataclasses.replace(verdict, outcome=outcome), golden[path])
        found[number] = dataclasses.replace(found[number], size_bytes=path.stat().st_size)
    first: Scored = scored[0]
    return Validation(
        paths[0],
        paths[0].stat().st_size,
        first.images_per_second,
        timed[0],
        dataset.source,
        len(seen),
        truth is not None,
        spec.labels,
        gate,
        tuple(found),
        tuple(bad.skipped),
        Evidence(seen, truth, scores, tuple(models.specs)),
    )


def _label_order(reference: ModelSpec, candidate: ModelSpec, reference_path: Path, path: Path) -> NDArray[np.intp]:
    """For each label of the reference, where the candidate has it. The k-th of equal labels meets the k-th."""
    if sorted(reference.labels) != sorted(candidate.labels):
        missing = sorted(set(reference.labels) ^ set(candidate.labels))
        raise SpecError(
            f"{printable(path.name)} does not have the labels of {printable(reference_path.name)} "
            f"({printable(missing[0]) if missing else 'their numbers differ'}).",
            "Only models of the same classes can be compared.",
        )
    ours, theirs = (np.argsort(np.array(spec.labels), kind="stable") for spec in (reference, candidate))
    order = np.empty(len(ours), np.intp)
    order[ours] = theirs
    return order


def _by_label(scores: NDArray[np.float32], order: NDArray[np.intp]) -> NDArray[np.float32]:
    """Scores in the order of the reference's labels; not copied where that is their own order."""
    return scores if (order == np.arange(len(order))).all() else scores[:, order]


def _doubts(scores: NDArray[np.float32], spec: ModelSpec) -> Iterator[str]:
    """What speaks against a reference, from its scores, float32 [N, labels]."""
    answers = np.unique(scores.argmax(1))
    if len(answers) == 1 and len(scores) >= MIN_JUDGED:
        label = printable(spec.labels[answers[0]])
        yield f"the reference calls every image {label!r}: agreeing with it proves little"


def _differences(reference: ModelSpec, candidate: ModelSpec, order: NDArray[np.intp]) -> Iterator[str]:
    if (order != np.arange(len(order))).any():
        first = int(np.argmax(order != np.arange(len(order))))
        yield (
            f"the label order differs (output {first} is {printable(reference.labels[first])!r} in the reference, "
            f"{printable(candidate.labels[first])!r} here); scores were compared by name"
        )
    if reference.size != candidate.size:
        yield (
            f"the input is {candidate.input.width}×{candidate.input.height} instead of "
            f"{reference.input.width}×{reference.input.height}"
        )
    for name in ("resize", "crop", "orientation", "channel_order"):
        ours, theirs = getattr(reference.preprocess, name), getattr(candidate.preprocess, name)
        if ours != theirs:
            yield f"the preprocessing differs: {name.replace('_', ' ')} is {_said(theirs)} instead of {_said(ours)}"


def _said(value: str | Crop) -> str:
    if isinstance(value, str):
        return value
    details = {"center": f" {value.fraction:g} ({value.rounding})", "pad": f" with {value.fill}", "none": ""}
    return value.mode + details[value.mode]


def _latency(path: Path, spec: ModelSpec, data: Dataset) -> Latency | None:
    if modelfile.sniff(path) == "keras":
        return None
    return latency(path, preprocess.prepare(data.read(0, spec.preprocess.orientation), spec))


def _verdict(undecided: Verdict, path: Path, parity: Parity, gate: Gate) -> Verdict:
    """Of a candidate, before it is judged: its size with the verdict is one of the things it is judged by."""
    figures = {"agreement": parity.agreement, "max_difference": parity.max_difference}
    if parity.drop is not None and parity.drop_interval is not None:
        figures |= {
            "reference_top1": parity.reference_top1 or 0.0,
            "top1": parity.candidate_top1 or 0.0,
            "drop": parity.drop,
            "drop_low": parity.drop_interval[0],
            "drop_high": parity.drop_interval[1],
        }
    limits = gate.limits(labelled=parity.drop is not None)
    return dataclasses.replace(undecided, model_sha256=modelfile.digest(path), figures=figures, gate=limits)
