"""`edgekit build`: train → convert (every scheme) → validate → stamp; what is up to date is left alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgekit.convert.run import convert
from edgekit.core import files, versions
from edgekit.core.errors import DataError, EdgekitError, OutputError
from edgekit.data.dataset import Dataset, open_dataset
from edgekit.data.labels import align
from edgekit.quantize.plan import CALIBRATED
from edgekit.recipes.recipe import Recipe
from edgekit.report.training import write_training
from edgekit.report.validation import write_validation
from edgekit.runtime import modelfile
from edgekit.runtime.spec import printable
from edgekit.train import imagenet
from edgekit.train.fit import train
from edgekit.validate.gate import Gate
from edgekit.validate.run import Validation, validate

STATE = "build.json"


@dataclass(frozen=True)
class Built:
    """What `build` made. `made` are the files written now, `kept` those that were up to date.

    `top1` is on images held out of the training, None for a network that was taken as it is. `outcomes` are the
    verdicts by file, empty without data; `validation` is None where all of them were up to date as well. `left_out` are
    the files that cannot be made without data.
    """

    folder: Path
    model: Path
    top1: float | None
    outcomes: dict[str, str]
    validation: Validation | None
    made: tuple[Path, ...]
    kept: tuple[Path, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def build(
    recipe: Recipe,
    output: Path,
    *,
    data: Path | None = None,
    device: str = "auto",
    say: Callable[[str], None],
    on_training: Callable[[dict[str, Any]], None],
    on_progress: Callable[[int, int], None],
) -> Built:
    """Make all that a recipe names, in the folder `output`.

    A file is made anew when what it depends on has changed: the data, its part of the recipe, the file that it is
    made from, or edgekit itself.

    Args:
        data: goes before the recipe's own.
        device: where to train, see `edgekit.train.fit.train`.
        say: told each step as it begins.
        on_training: see `edgekit.train.fit.train`.
        on_progress: see `edgekit.validate.run.validate`.

    Raises:
        EdgekitError: the recipe, the data or a step fails; what was made before stays.
    """
    data = data or recipe.data
    if data is None and recipe.pretrained is None:
        raise EdgekitError(f"The recipe {recipe.name} names no data.", "Add --data DATA, such as a folder of photos.")
    dataset = open_dataset(data) if data else None
    data_sha256 = dataset.digest() if dataset else ""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make the folder {printable(str(output))}: {error.strerror or error}.") from error
    state = _State(output / STATE)
    made: list[Path] = []
    kept: list[Path] = []
    notes: list[str] = []

    model = output / f"{recipe.name}.keras"
    inputs: list[Any] = [recipe.pretrained] if recipe.pretrained else [data_sha256, asdict(recipe.train)]
    if state.current(model, inputs, *(() if recipe.pretrained else ("top1",))):
        kept.append(model)
    elif recipe.pretrained:
        say(f"Writing {model.name}")
        notes += imagenet.write(model).notes
        state.note(model, inputs)
        made.append(model)
    else:
        assert data is not None
        say(f"Training {model.name}")
        settings = {**asdict(recipe.train), "device": device}
        trained = train(data, model, **settings, on_progress=on_training)
        notes += [f"{trained.backbone}: {trained.reason}", *trained.notes]
        write_training(trained, model.with_suffix(".html"))
        state.note(model, inputs, top1=trained.top1)
        made.append(model)

    candidates = []
    left_out = []
    reference = modelfile.digest(model)
    for ending, schemes in (("tflite", recipe.convert.tflite), ("onnx", recipe.convert.onnx)):
        source = model
        for scheme in sorted(schemes, key=lambda scheme: scheme != "none"):  # the float file first
            target = output / f"{recipe.name}.{scheme.replace('none', 'float32')}.{ending}"
            calibrate = data if scheme in CALIBRATED else None
            if scheme in CALIBRATED and calibrate is None:
                left_out.append(target.name)
                continue
            candidates.append(target)
            inputs = [reference, scheme, (recipe.convert.samples, data_sha256) if calibrate else None]
            if state.current(target, inputs):
                kept.append(target)
            else:
                say(f"Converting to {target.name}")
                convert(source, target, quantize=scheme, calibrate=calibrate, samples=recipe.convert.samples)
                state.note(target, inputs)
                made.append(target)
            if scheme == "none":
                source = target  # Keras is converted once; quantizing its float file gives the same and is faster

    validation = None
    outcomes: dict[str, str] = {}
    if dataset is not None:
        seen = _with_known_labels(dataset, model)
        if seen.labels is None and dataset.labels is not None:
            notes.append(f"{model.name} does not have the classes of the data: the files are compared without labels.")
        gate = Gate(recipe.gate.max_drop, recipe.gate.min_agreement)
        seen_sha256 = data_sha256 if seen is dataset else seen.digest()

        def outcome(target: Path) -> str | None:
            return _outcome(target, reference, seen_sha256, gate, labelled=seen.labels is not None)

        if any(outcome(target) is None for target in candidates):
            say(f"Validating {len(candidates)} files against {model.name}")
            validation = validate(model, candidates, seen, gate=gate, stamp=True, on_progress=on_progress)
            write_validation(validation, output / f"{recipe.name}.validation.html")
        outcomes = {target.name: outcome(target) or "missing" for target in candidates}
    top1 = None if recipe.pretrained else state.figure(model, "top1")
    return Built(
        output, model, top1, outcomes, validation, tuple(made), tuple(kept), tuple(left_out), tuple(notes)
    )


def _with_known_labels(dataset: Dataset, model: Path) -> Dataset:
    """The data with its labels, if the model knows them all, else without."""
    spec = modelfile.read_spec(model)
    if dataset.labels is not None and spec is not None:
        try:
            align(dataset.labels, spec.labels, str(dataset.source), model.name)
        except DataError:
            return dataset.unlabelled()
    return dataset


class _State:
    """What each file was made from, in `build.json`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._known: dict[str, Any] = json.loads(path.read_text("utf-8"))
            if not isinstance(self._known, dict) or not all(isinstance(entry, dict) for entry in self._known.values()):
                raise ValueError("it is not a table of files")
        except FileNotFoundError:
            self._known = {}
        except (OSError, ValueError) as error:
            raise EdgekitError(
                f"{printable(str(path))} is damaged: {error}.", "Remove it to build everything anew."
            ) from error

    def current(self, target: Path, inputs: list[Any], *figures: str) -> bool:
        entry = self._known.get(target.name, {})
        if not all(isinstance(entry.get(name), float) for name in figures):
            return False
        return target.exists() and entry.get("inputs") == _digest(inputs) and entry.get("model") == _content(target)

    def note(self, target: Path, inputs: list[Any], **figures: float) -> None:
        self._known[target.name] = {"inputs": _digest(inputs), "model": _content(target), **figures}
        files.write_text(self._path, json.dumps(self._known, indent=2, sort_keys=True) + "\n")

    def figure(self, target: Path, name: str) -> float:
        return float(self._known[target.name][name])


def _outcome(target: Path, reference_sha256: str, data_sha256: str, gate: Gate, labelled: bool) -> str | None:
    """The verdict that is stamped into a file; None when it speaks of another model, reference, data set or gate."""
    spec = modelfile.read_spec(target)
    verdict = spec.verdict if spec else None
    if verdict is None or (verdict.model_sha256, verdict.reference_sha256, verdict.data_sha256, verdict.gate) != (
        modelfile.digest(target),
        reference_sha256,
        data_sha256,
        gate.limits(labelled),
    ):
        return None
    return verdict.outcome


def _digest(inputs: list[Any]) -> str:
    return hashlib.sha256(json.dumps([versions.of(), *inputs], sort_keys=True).encode()).hexdigest()


def _content(target: Path) -> str:
    """The model without its spec, so that stamping does not make it look changed; a damaged file looks changed."""
    try:
        return modelfile.digest(target)
    except EdgekitError:
        return ""
