"""What all training has in common: images are decoded, a child process trains, its answers are calibrated, and the file
is written with its spec."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core import calibration, child, embed, versions
from edgekit.data.dataset import Dataset, require_labels
from edgekit.data.labels import align
from edgekit.data.splits import distinct_images, duplicates_across_classes
from edgekit.data.stream import BadImages
from edgekit.runtime.classify import to_scores
from edgekit.runtime.spec import ModelSpec, ScoreCalibration, printable
from edgekit.train import pixels as pixels_of
from edgekit.train.evaluation import Evaluation
from edgekit.train.pixels import statistics
from edgekit.train.run_folder import RunFolder, run_folder
from edgekit.train.settings import Settings

PARTS = ("training", "validation", "held out")
MEASURED = 512  # images whose pixel statistics the spec keeps
BACKENDS = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "jax": ("jax",)}  # of Keras: the distributions
LEAST_CALIBRATED = 10  # images; fewer say nothing about scores
LEAST_SURE = 0.5  # of the images; a threshold that makes more of them unsure is of no use
UNEVEN = 4  # times as many images in the largest class as in the smallest

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class QuantizedTraining:
    """What quantization-aware training did; accuracies (0..1) are on the images held out.

    Attributes:
        kept: whether it answers better on the validation images than before; if not, the weights are those of before.
        before: of the network in float, before this training.
        untrained: of the same in int8, with ranges from training images.
        top1: in int8, of what was kept. int8 is simulated here; a converted file can differ by a rounding.
        agreement: of what was kept, in int8, with its own float answers.
        losses: mean cross-entropy of int8 on the validation images, before and after.
        history: as in `Trained`, in int8.
    """

    kept: bool
    before: float
    untrained: float
    top1: float
    agreement: float
    losses: tuple[float, float]
    history: list[dict[str, float]]

    def said(self) -> str:
        """In one or two lines."""
        figures = (
            f"on held-out images: float {self.before:.1%}, int8 without it {self.untrained:.1%}, "
            f"int8 with it {self.top1:.1%}"
        )
        losses = f"validation loss in int8 {self.losses[0]:.4f} → {self.losses[1]:.4f}"
        if self.kept:
            return f"Quantization-aware training, top-1 {figures} ({losses})."
        return f"Quantization-aware training was not better and is not kept ({losses}); top-1 {figures}."


@dataclass(frozen=True)
class Trained:
    """What `train` made.

    `history` has one entry for each epoch of training the network (none where only a head was fitted): loss, accuracy,
    val_loss, val_accuracy (0..1). `selection` has one entry for each strength of regularisation that was tried on the
    head by cross-validation: regularisation, loss, accuracy, chosen. `top1` and `recall` (by label; None where
    nothing of a class was held out) are on images that training never saw. `images`: how many the model learned from
    ("training"), was chosen by ("validation"; none for a head, whose cross-validation asks all of the former), and is
    reported on ("held out"). `quantized` is set after quantization-aware training. `unseen` is False where a model
    was trained on that may have seen the images held out.
    """

    path: Path
    labels: tuple[str, ...]
    backbone: str
    reason: str
    spec: ModelSpec
    images: dict[str, int]
    device: str
    history: list[dict[str, float]]
    top1: float
    recall: dict[str, float | None]
    parameters: int
    selection: list[dict[str, Any]]
    notes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    quantized: QuantizedTraining | None
    unseen: bool
    evaluation: Evaluation = field(repr=False, metadata={"json": False})


@dataclass(frozen=True)
class Job:
    """What is to be trained. `sets` are the images for training, for validation, and those held out.

    `folds` gives, for the sets without their unreadable images, folds of the first two together, as positions in them.
    `source` is the `.keras` file to go on from; `unseen`, whether that is known not to have seen the images held out.
    """

    dataset: Dataset
    sets: list[Dataset]
    spec: ModelSpec
    settings: Settings
    backbone: str
    reason: str
    output: Path
    bad: BadImages
    identity: dict[str, Any]
    folds: Callable[[list[Dataset]], list[list[int]]] = lambda sets: []
    source: Path | None = None
    unseen: bool = True


def carry_out(job: Job, resume: Path | None, on_progress: Progress | None) -> Trained:
    """Train, write the `.keras` file with its spec, and say how good it is on the images held out.

    Raises:
        DataError, ConversionError, OutputError: see `edgekit.train.fit.train`.
    """
    spec, settings, labels = job.spec, job.settings, job.spec.labels
    with run_folder(resume, job.identity) as folder:
        kept = _decode(job.sets, spec, job.bad, folder)
        sets = [part.subset(indices) for part, indices in zip(job.sets, kept, strict=True)]
        truth = [_targets(part, labels, job.output.name) for part in sets]
        seen = pixels_of.PixelFile(folder.pixels, (*spec.size, spec.input.channels))
        measured = statistics(seen.read(range(min(len(sets[0]), MEASURED))))
        bare, answers = folder.path / "bare.keras", folder.path / "answers.npz"
        ends = np.cumsum([0, *map(len, sets)]).tolist()
        ranges = dict(zip(PARTS, itertools.pairwise(ends), strict=True))
        try:
            made = child.call(
                "edgekit.train.work:run",
                purpose="Training",
                on_progress=on_progress,
                settings=dataclasses.asdict(settings),
                backbone=job.backbone,
                shape=(*spec.size, spec.input.channels),
                labels=len(labels),
                folder=str(folder.path),
                ranges=ranges,
                truth=np.concatenate(truth).tolist(),
                folds=job.folds(sets),
                keep=folder.keep,
                feeding={
                    "mean": spec.preprocess.mean, "std": spec.preprocess.std, "activation": spec.output.activation
                },
                source=str(job.source) if job.source is not None else None,
                output=str(bare),
                answers=str(answers),
            )
            with np.load(answers, allow_pickle=False) as stored:
                outputs, logits, asked = (stored[name] for name in ("scores", "logits", "truth"))
            calibrated, notes = _calibrate(logits, asked, settings.precision)
            spec = dataclasses.replace(
                spec,
                output=dataclasses.replace(spec.output, calibration=calibrated),
                provenance=dataclasses.replace(
                    spec.provenance,
                    trained_on=measured,
                    tools={**spec.provenance.tools, **versions.of(*BACKENDS[made["backend"]])},
                ),
            )
            embed.write_spec(bare, spec, job.output)
        finally:
            for part in (bare, answers):
                part.unlink(missing_ok=True)
    scores = to_scores(outputs, spec.output, len(labels))
    right = scores.argmax(1) == truth[2]
    recall = {
        label: float(right[truth[2] == index].mean()) if (truth[2] == index).any() else None
        for index, label in enumerate(labels)
    }
    quantized = QuantizedTraining(**made["quantized"]) if made["quantized"] else None
    said = [quantized.said()] if quantized else []
    if not job.unseen:
        notes = ["The held-out images may be among those that the model was trained on before.", *notes]
    notes = [*_doubts(job.dataset, settings), *made["notes"], *said, *notes]
    return Trained(
        job.output,
        labels,
        job.backbone,
        job.reason,
        spec,
        dict(zip(PARTS, (made["learned"], ends[2] - made["learned"], len(sets[2])), strict=True)),
        f"{made['device']}, Keras on {made['backend']}",
        made["history"],
        float(right.mean()),
        recall,
        made["parameters"],
        made["selection"],
        tuple(notes),
        tuple(job.bad.skipped),
        quantized,
        job.unseen,
        Evaluation(sets[2], scores, truth[2].astype(np.int64)),
    )


def _targets(part: Dataset, labels: tuple[str, ...], model: str) -> NDArray[np.int32]:
    """For each image the index of its label among the model's."""
    index_of = align(part.labels or (), labels, str(part.source), model)
    return np.array(index_of, np.int32)[part.targets()]


def _decode(sets: list[Dataset], spec: ModelSpec, bad: BadImages, folder: RunFolder) -> list[list[int]]:
    """Decode all images, part after part; the indices in each part of those that could be read."""
    noted = folder.decoded()
    if noted is not None:
        bad.skipped += [(name, reason) for name, reason in noted["skipped"]]
        parts: list[list[int]] = noted["kept"]
        return parts
    folder.pixels.unlink(missing_ok=True)
    before = len(bad.skipped)
    kept = [pixels_of.decode(part, spec, bad, folder.pixels) if len(part) else [] for part in sets]
    folder.note_decoded({"kept": kept, "skipped": bad.skipped[before:]})
    return kept


def _calibrate(
    logits: NDArray[np.float32], truth: NDArray[np.int64], precision: float
) -> tuple[ScoreCalibration, list[str]]:
    """Temperature and threshold from images that were not learned from, and what there is to say about them."""
    if len(truth) < LEAST_CALIBRATED:
        return ScoreCalibration(), [
            f"The scores are not calibrated, and no answer is \"not sure\": {len(truth)} images are too few for that."
        ]
    temperature = calibration.temperature(logits, truth)
    powers = np.exp((logits - logits.max(1, keepdims=True)) / temperature)
    scores = np.asarray(powers / powers.sum(1, keepdims=True), np.float32)
    if precision == 0:
        return ScoreCalibration(temperature), []
    threshold = calibration.threshold(scores, truth, precision)
    sure = float((scores.max(1) >= threshold).mean()) if threshold is not None else 0.0
    if threshold is None or sure < LEAST_SURE:
        return ScoreCalibration(temperature), [
            f"No answer is \"not sure\": only {sure:.0%} of the images could be answered with {precision:.1%} right."
        ]
    threshold = float(np.floor(threshold * 1e4) / 1e4)
    right = float((scores.argmax(1) == truth)[scores.max(1) >= threshold].mean())
    return ScoreCalibration(temperature, threshold), [
        f"Below a score of {threshold:.2f} the answer is \"not sure\": {sure:.1%} of {len(truth)} images are answered "
        f"surely, {right:.1%} of these right."
    ]


def _doubts(dataset: Dataset, settings: Settings) -> Iterator[str]:
    """What speaks against the data."""
    labels = require_labels(dataset)
    torn = duplicates_across_classes(dataset)
    if torn:
        yield (
            f"{len(torn)} image{' lies' if len(torn) == 1 else 's lie'} in several classes: {' = '.join(torn[0][:3])}"
            f"{', …' if len(torn) > 1 else ''}. At most one of the labels is right."
        )
    counts = distinct_images(dataset)
    if settings.class_weights == "none" and max(counts) > UNEVEN * min(counts):
        most, least = int(np.argmax(counts)), int(np.argmin(counts))
        yield (
            f"{printable(labels[most])} has {counts[most]} images and {printable(labels[least])} has {counts[least]}: "
            "rare classes may be overlooked. --class-weights balanced counts every class the same."
        )


