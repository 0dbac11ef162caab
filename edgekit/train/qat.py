"""`edgekit train --from model.keras --qat`: train a model on so that its answers survive int8."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.core import files, versions
from edgekit.core.errors import DataError, EdgekitError, MissingExtraError
from edgekit.data.dataset import Dataset, open_dataset, require_labels
from edgekit.data.labels import align
from edgekit.data.splits import distinct_images, stratified_split
from edgekit.data.stream import BadImages, readable
from edgekit.runtime import modelfile
from edgekit.runtime.spec import ModelSpec, printable
from edgekit.train.fit import FRACTIONS
from edgekit.train.run import Job, Trained, carry_out
from edgekit.train.settings import Settings

EPOCHS = 10


def fine_tune(
    source: str | Path,
    data: str | Path | Dataset,
    output: str | Path,
    *,
    epochs: int = EPOCHS,
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
    """Train a classifier in a `.keras` file on with fake quantization, and write the result with its spec.

    The result has the same spec, and answers nearly the same in float as in int8. It carries the ranges of its
    activations, so that `edgekit convert --quantize int8` needs no images. It is made of Keras' own layers, without
    batch normalization. Images are prepared as the spec of `source` says, and split as `edgekit.train.fit.train` does
    it.

    Args:
        source: a `.keras` file with a spec.
        data: labelled images, as `edgekit.data.dataset.open_dataset` reads them, with the labels of `source`.
        output: the `.keras` file to write.
        epochs: the most passes over the training images.

    Other arguments are those of `edgekit.train.fit.train`.

    Raises:
        EdgekitError: `source` cannot be trained so, or as `train` says.
        DataError: the data has other labels than `source`, or as `train` says.
        ConversionError: training failed or diverged.
    """
    settings = Settings(
        epochs=epochs, batch_size=batch_size, label_smoothing=label_smoothing, mixup=mixup, class_weights=class_weights,
        mirror=mirror, precision=precision, device=device, seed=seed, qat=True,
    )
    source, output = Path(source), Path(output)
    if output.suffix != ".keras":
        raise EdgekitError(f"Cannot train into {printable(output.name)}.", "End the output with .keras.")
    if output.resolve() == source.resolve():
        raise EdgekitError(f"The output {printable(str(output))} is the source itself.", "Name another file with -o.")
    files.check_target(output)
    if importlib.util.find_spec("keras") is None:
        raise MissingExtraError("Training", "keras", "keras")
    spec = _source_spec(source)
    bad = BadImages(max_bad)
    dataset = readable(data if isinstance(data, Dataset) else open_dataset(Path(data)), bad)
    _require_its_labels(dataset, spec, source)
    fractions = FRACTIONS if held_out is None else (FRACTIONS[0] + FRACTIONS[2], FRACTIONS[1], 0.0)
    sets = [dataset.subset(part) for part in stratified_split(dataset, fractions, seed)]
    if held_out is not None:
        sets[2] = held_out
    said = settings.said(f"--from {printable(source.name)}", always=("epochs", "seed"))
    made = dataclasses.replace(
        spec,
        provenance=dataclasses.replace(
            spec.provenance,
            steps=(*spec.provenance.steps, said),
            tools={**spec.provenance.tools, **versions.of("keras", "numpy", "pillow")},
        ),
        golden=(),
        verdict=None,
    )
    identity = {
        **{name: value for name, value in dataclasses.asdict(settings).items() if name != "device"},
        "model": files.sha256(source),  # with its spec: images are prepared by it
        "data": dataset.digest(),
        "held-out data": held_out.digest() if held_out else "",
        "versions": made.provenance.tools,
    }
    job = Job(
        dataset, sets, made, settings, printable(source.name), "it is trained on with fake quantization", output, bad,
        identity, source=source, unseen=_held_out_before(spec, dataset, seed, held_out),
    )
    return carry_out(job, Path(resume) if resume else None, on_progress)


def _held_out_before(spec: ModelSpec, dataset: Dataset, seed: int, held_out: Dataset | None) -> bool:
    """Whether the images held out are apart, or were held out when the model was trained: by the same split."""
    first = spec.provenance.steps[0] if spec.provenance.steps else ""
    same = first.startswith("train ") and f"{first} ".find(f"--seed {seed} ") > 0
    return held_out is not None or (same and spec.provenance.source_sha256 == dataset.digest())


def _source_spec(source: Path) -> ModelSpec:
    kind = modelfile.sniff(source)
    name = printable(str(source))
    if kind != "keras":
        hint = f"Import it first: edgekit import {name} --labels … -o model.keras" if kind in ("h5", "json") else (
            "Name the .keras file that it was made from."
        )
        raise EdgekitError(f"--from {name} is no .keras file, and only those can be trained on.", hint)
    spec = modelfile.read_spec(source)
    if spec is None:
        raise EdgekitError(
            f"--from {name} carries no edgekit spec, so nothing says how to feed it.",
            f"Give it one with: edgekit import {name} --labels … -o …",
        )
    if spec.output.activation == "sigmoid" and len(spec.labels) != 2:
        raise EdgekitError(
            f"--from {name} gives each label a score of its own (sigmoid); --qat trains one answer of several.",
            "Convert the model as it is: edgekit convert --quantize int8 --calibrate DATA.",
        )
    return spec


def _require_its_labels(dataset: Dataset, spec: ModelSpec, source: Path) -> None:
    """The data has images of each of the model's labels, three different ones at least, and of nothing else."""
    classes = require_labels(dataset)
    name, model = printable(str(dataset.source)), printable(source.name)
    has = set(align(classes, spec.labels, str(dataset.source), source.name))
    missing = [printable(label) for index, label in enumerate(spec.labels) if index not in has]
    if missing:
        raise DataError(
            f"{name} has no images of {len(missing)} of the {len(spec.labels)} labels of {model}: "
            f"{', '.join(missing[:5])}{', …' if len(missing) > 5 else ''}.",
            "A model that is trained on without them forgets them. Add images of every label.",
        )
    few = [
        (printable(label), count)
        for label, count in zip(classes, distinct_images(dataset), strict=True)
        if count < len(FRACTIONS)
    ]
    if few:
        raise DataError(
            f"{name} has too few different images of {few[0][0]} ({few[0][1]}).",
            f"{len(FRACTIONS)} of each label are the least here; 20 or more make a useful model.",
        )
