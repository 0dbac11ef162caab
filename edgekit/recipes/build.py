"""`edgekit build`: train → convert (every scheme) → validate → stamp; what is up to date is left alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgekit.convert.run import CALIBRATED, convert
from edgekit.core import files, versions
from edgekit.core.errors import EdgekitError
from edgekit.data.dataset import open_dataset
from edgekit.recipes.recipe import Recipe
from edgekit.report.curve import write_curve
from edgekit.runtime import modelfile
from edgekit.runtime.spec import printable
from edgekit.train.fit import train
from edgekit.validate.gate import Gate
from edgekit.validate.run import Validation, validate

STATE = "build.json"


@dataclass(frozen=True)
class Built:
    """What `build` made. `made` are the files written now, `kept` those that were up to date.

    `outcomes` are the verdicts by file; `validation` is None where all of them were up to date as well.
    """

    folder: Path
    model: Path
    top1: float
    outcomes: dict[str, str]
    validation: Validation | None
    made: tuple[Path, ...]
    kept: tuple[Path, ...]


def build(
    recipe: Recipe,
    output: Path,
    *,
    say: Callable[[str], None],
    on_epoch: Callable[[dict[str, Any]], None],
    on_progress: Callable[[int, int], None],
) -> Built:
    """Make all that a recipe names, in the folder `output`.

    A file is made anew when what it depends on has changed: the data, its part of the recipe, the file that it is
    made from, or edgekit itself.

    Args:
        say: told each step as it begins.
        on_epoch: see `edgekit.train.fit.train`.
        on_progress: see `edgekit.validate.run.validate`.

    Raises:
        EdgekitError: the recipe, the data or a step fails; what was made before stays.
    """
    data = recipe.folder / recipe.data
    data_sha256 = open_dataset(data).digest()
    output.mkdir(parents=True, exist_ok=True)
    state = _State(output / STATE)
    made: list[Path] = []
    kept: list[Path] = []

    model = output / f"{recipe.name}.keras"
    inputs: list[Any] = [data_sha256, asdict(recipe.train)]
    if state.current(model, inputs, "top1"):
        kept.append(model)
    else:
        say(f"Training {model.name}")
        trained = train(
            data,
            model,
            input_size=recipe.train.input_size,
            epochs=recipe.train.epochs,
            batch_size=recipe.train.batch_size,
            seed=recipe.train.seed,
            on_progress=on_epoch,
        )
        write_curve(trained.history, model.with_suffix(".curve.svg"))
        state.note(model, inputs, top1=trained.top1)
        made.append(model)

    candidates = []
    reference = modelfile.digest(model)
    for ending, schemes in (("tflite", recipe.convert.tflite), ("onnx", recipe.convert.onnx)):
        source = model
        for scheme in sorted(schemes, key=lambda scheme: scheme != "none"):  # the float file first
            target = output / f"{recipe.name}.{scheme.replace('none', 'float32')}.{ending}"
            candidates.append(target)
            calibrate = data if scheme in CALIBRATED else None
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
    gate = Gate(recipe.gate.max_drop, recipe.gate.min_agreement)
    if any(_outcome(target, reference, data_sha256, gate) is None for target in candidates):
        say(f"Validating {len(candidates)} files against {model.name}")
        validation = validate(model, candidates, data, gate=gate, stamp=True, on_progress=on_progress)
    outcomes = {target.name: _outcome(target, reference, data_sha256, gate) or "missing" for target in candidates}
    return Built(output, model, state.figure(model, "top1"), outcomes, validation, tuple(made), tuple(kept))


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


def _outcome(target: Path, reference_sha256: str, data_sha256: str, gate: Gate) -> str | None:
    """The verdict that is stamped into a file; None when it speaks of another model, reference, data set or gate."""
    spec = modelfile.read_spec(target)
    verdict = spec.verdict if spec else None
    if verdict is None or (verdict.model_sha256, verdict.reference_sha256, verdict.data_sha256, verdict.gate) != (
        modelfile.digest(target),
        reference_sha256,
        data_sha256,
        gate.limits(labelled=True),
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
