"""`edgekit train`: from a data set to a `.keras` file with its spec, and a report on images held out."""

from __future__ import annotations

import dataclasses
import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core import child, embed, files, versions
from edgekit.core.errors import DataError, EdgekitError, ImageError, MissingExtraError
from edgekit.data.dataset import Dataset, open_dataset, require_labels
from edgekit.data.labels import align
from edgekit.data.splits import stratified_split
from edgekit.data.stream import BadImages, readable
from edgekit.runtime.spec import Crop, InputSpec, ModelSpec, OutputSpec, Preprocess, Provenance, printable
from edgekit.train import pixels as pixels_of
from edgekit.train.evaluation import Evaluation
from edgekit.train.pixels import statistics

FRACTIONS = (0.7, 0.15, 0.15)
HELD_OUT_APART = (0.85, 0.15)
SMALLEST_SIZE, LARGEST_AUTOMATIC_SIZE, LARGEST_SIZE = 8, 96, 512
LOOKED_AT = 64  # images that decide the input's size and channels
MEASURED = 512  # images whose pixel statistics the spec keeps


@dataclass(frozen=True)
class Trained:
    """What `train` made.

    `history` has one entry for each epoch of training the network (none where only a head was fitted): loss, accuracy,
    val_loss, val_accuracy (0..1). `selection` has one entry for each strength of regularisation that was tried on the
    head by cross-validation: regularisation, loss, accuracy, chosen. `top1` and `recall` (by label; None where
    nothing of a class was held out) are on images that training never saw.
    """

    path: Path
    labels: tuple[str, ...]
    backbone: str
    reason: str
    spec: ModelSpec
    images: dict[str, int]
    history: list[dict[str, float]]
    stopped_at: int
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
    input_size: int | None = None,
    epochs: int = 60,
    batch_size: int = 32,
    seed: int = 0,
    max_bad: int = 0,
    held_out: Dataset | None = None,
    on_progress: Callable[[dict[str, Any]], None] | None = None,
) -> Trained:
    """Train the small separable CNN from scratch and write it with its spec.

    Images are cropped around the centre to a square and resized by the antialiased bilinear kernel. The data is split
    into 70 % to train on, 15 % to stop early by, and 15 % held out; identical images stay on one side.

    Args:
        data: labelled images, as `edgekit.data.dataset.open_dataset` reads them.
        output: the `.keras` file to write.
        input_size: side of the square input in pixels; by default that of the images, at most 96.
        epochs: the most passes over the training images.
        batch_size: images a step.
        seed: of the split, the weights and the augmentation; the same seed gives the same model on a CPU.
        max_bad: how many unreadable images may be skipped.
        held_out: images to report on instead of a part of `data`.
        on_progress: called with the figures of each epoch.

    Raises:
        EdgekitError: the output cannot be written, or a number is out of range.
        DataError: the data has no labels, one class, an empty class, too few images, or too many unreadable ones.
        ConversionError: training failed or diverged.
    """
    output = Path(output)
    if output.suffix != ".keras":
        raise EdgekitError(f"Cannot train into {printable(output.name)}.", "End the output with .keras.")
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise EdgekitError(f"Training with {name} {value} is not possible.", "It must be 1 or more.")
    files.check_target(output)
    _require_keras()
    bad = BadImages(max_bad)
    dataset = readable(data if isinstance(data, Dataset) else open_dataset(Path(data)), bad)
    labels = require_labels(dataset)
    spec = _spec(dataset, labels, _usual_size(dataset) if input_size is None else input_size, seed)
    fractions = FRACTIONS if held_out is None else HELD_OUT_APART
    sets = [dataset.subset(part) for part in stratified_split(dataset, fractions, seed)]
    if held_out is not None:
        sets.append(held_out)
    if not all(map(len, sets)):
        raise DataError(
            f"{printable(str(dataset.source))} has too few images to be trained on ({len(dataset)}).",
            "Three different ones of a class are the least; a useful model needs 50 or more of each.",
        )
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        work = Path(folder)
        parts = []
        for number, part in enumerate(sets):
            pixels = work / f"{number}.pixels"
            parts.append({"labels": pixels_of.decode(part, spec, bad, pixels), "pixels": str(pixels)})
        shape = (spec.input.height, spec.input.width, spec.input.channels)
        seen = pixels_of.PixelFile(Path(str(parts[0]["pixels"])), shape)
        provenance = dataclasses.replace(
            spec.provenance, trained_on=statistics(seen.read(range(min(len(seen), MEASURED))))
        )
        bare, answers = work / "bare.keras", work / "scores.npy"
        made = child.call(
            "edgekit.train.loop:run",
            purpose="Training",
            on_progress=on_progress,
            parts=parts,
            shape=shape,
            classes=len(labels),
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            output=str(bare),
            answers=str(answers),
        )
        spec = dataclasses.replace(spec, provenance=provenance)
        embed.write_spec(bare, spec, output)
        scores: NDArray[np.float32] = np.load(answers)
    truth = np.array(parts[2]["labels"])
    if held_out is not None:
        truth = np.array(align(require_labels(held_out), labels, str(held_out.source), output.name))[truth]
    right = scores.argmax(1) == truth
    recall = {
        label: float(right[truth == index].mean()) if (truth == index).any() else None
        for index, label in enumerate(labels)
    }
    images = dict(zip(("training", "validation", "held out"), (len(part["labels"]) for part in parts), strict=True))
    return Trained(
        output,
        labels,
        "cnn",
        "",
        spec,
        images,
        made["history"],
        made["stopped_at"],
        float(right.mean()),
        recall,
        made["parameters"],
        [],
        (),
        tuple(bad.skipped),
        Evaluation(sets[2], scores, truth),
    )


def _require_keras() -> None:
    if importlib.util.find_spec("keras") is None:
        raise MissingExtraError("Training", "keras", "keras")


def _spec(dataset: Dataset, labels: tuple[str, ...], size: int, seed: int) -> ModelSpec:
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise EdgekitError(
            f"An input of {size} pixels cannot be trained.",
            f"Choose an --input-size from {SMALLEST_SIZE} to {LARGEST_SIZE}.",
        )
    channels = 1 if _is_gray(dataset) else 3
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
            steps=(f"train --seed {seed}",),
            tools=versions.of("tensorflow", "tensorflow-cpu", "keras", "numpy", "pillow"),
        ),
    )


def _sample(dataset: Dataset) -> Iterator[NDArray[np.uint8]]:
    for index in np.linspace(0, len(dataset) - 1, min(LOOKED_AT, len(dataset))).astype(int):
        with suppress(ImageError):
            yield dataset.read(int(index))


def _usual_size(dataset: Dataset) -> int:
    """The median of the shorter sides of some images, as a multiple of 8 from 8 to 96."""
    sides = [min(image.shape[:2]) for image in _sample(dataset)]
    usual = int(np.median(sides)) // 8 * 8 if sides else LARGEST_AUTOMATIC_SIZE
    return min(max(usual, SMALLEST_SIZE), LARGEST_AUTOMATIC_SIZE)


def _is_gray(dataset: Dataset) -> bool:
    return all((image[..., :1] == image).all() for image in _sample(dataset))
