"""Quantization-aware training as a last resort, on images that nothing is judged by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgekit.core.errors import DataError, EdgekitError
from edgekit.data.dataset import Dataset, open_dataset
from edgekit.data.labels import align
from edgekit.data.stream import BadImages, map_images, readable
from edgekit.runtime import modelfile, preprocess
from edgekit.runtime.spec import ModelSpec, printable
from edgekit.train.qat import fine_tune


def training_data(source: Path, spec: ModelSpec, data: Path, judged_by: Sequence[Dataset], bad: BadImages) -> Dataset:
    """The images that a model may be trained on: without those that it is judged by.

    Args:
        judged_by: images that are left out, as stored or as what the model sees of them: another file format does not
            make another image.

    Raises:
        EdgekitError: the model cannot be trained on.
        DataError: the images have no labels, or others than the model's, or none is left.
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
    stored = {part.content_sha256(index) for part in judged_by for index in range(len(part))}
    others = dataset.subset([index for index in range(len(dataset)) if dataset.content_sha256(index) not in stored])
    if len(others):
        known = {digest for part in judged_by for _, digest in _seen(part, spec, bad)}
        others = others.subset([index for index, digest in _seen(others, spec, bad) if digest not in known])
    if not len(others):
        raise DataError(
            f"All images of {printable(str(data))} are among those that candidates are judged by.",
            "Name other images with --allow-training.",
        )
    return others


def _seen(data: Dataset, spec: ModelSpec, bad: BadImages) -> list[tuple[int, str]]:
    """The positions of the images that can be read, with the digests of their pixels as the model is given them."""
    return list(
        map_images(
            lambda image: hashlib.sha256(preprocess.pixels(image, spec).tobytes()).hexdigest(),
            data,
            bad,
            orientation=spec.preprocess.orientation,
        )
    )


def train_on(
    source: Path,
    data: Dataset,
    held_out: Dataset,
    output: Path,
    *,
    seed: int,
    resume: Path | None,
    on_progress: Callable[[dict[str, Any]], None],
) -> None:
    """Train the model on with fake quantization, unless `output` is there.

    Args:
        held_out: images for the figures of the training's own report, which is not kept.
        output: the `.keras` file to write.

    Raises:
        EdgekitError: as `edgekit.train.qat.fine_tune`.
    """
    if not output.exists():
        fine_tune(source, data, output, seed=seed, held_out=held_out, resume=resume, on_progress=on_progress)
