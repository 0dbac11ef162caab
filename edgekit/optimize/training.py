"""Quantization-aware training as a last resort, on images that nothing is judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgekit.core.errors import DataError, EdgekitError
from edgekit.data.dataset import Dataset, open_dataset
from edgekit.data.labels import align
from edgekit.data.stream import BadImages, readable
from edgekit.runtime import modelfile
from edgekit.runtime.spec import ModelSpec, printable
from edgekit.train.qat import fine_tune


def training_data(source: Path, spec: ModelSpec, data: Path, bad: BadImages) -> Dataset:
    """The images that a model may be trained on.

    Raises:
        EdgekitError: the model cannot be trained on.
        DataError: they have no labels, or others than the model's.
    """
    if modelfile.sniff(source) != "keras":
        raise EdgekitError(
            f"--allow-training needs a .keras file, and {printable(source.name)} is none.",
            "Name the .keras file that it was made from.",
        )
    dataset = readable(open_dataset(data), bad)
    if dataset.labels is None:
        raise DataError(f"{printable(str(data))} has no labels to train on.")
    align(dataset.labels, spec.labels, str(data), source.name)
    return dataset


def train_on(
    source: Path,
    data: Dataset,
    judged_by: Sequence[Dataset],
    held_out: Dataset,
    output: Path,
    *,
    seed: int,
    resume: Path | None,
    on_progress: Callable[[dict[str, Any]], None],
) -> int:
    """Train the model on with fake quantization, unless `output` is there; gives the number of images left out.

    Args:
        judged_by: parts whose images are left out wherever `data` has them.
        held_out: images for the figures of the training's own report, which is not kept.
        output: the `.keras` file to write.

    Raises:
        EdgekitError: as `edgekit.train.qat.fine_tune`.
    """
    known = {part.content_sha256(index) for part in judged_by for index in range(len(part))}
    kept = [index for index in range(len(data)) if data.content_sha256(index) not in known]
    if not kept:
        raise DataError(
            f"All images of {printable(str(data.source))} are among those that candidates are judged by.",
            "Name other images with --allow-training.",
        )
    if not output.exists():
        fine_tune(
            source, data.subset(kept), output, seed=seed, held_out=held_out, resume=resume, on_progress=on_progress
        )
    return len(data) - len(kept)
