"""`recipe.toml`: what a recipe says."""

from __future__ import annotations

import re
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.convert.run import SCHEMES
from edgekit.core.errors import EdgekitError
from edgekit.runtime.spec import printable
from edgekit.train.settings import LITE, Settings
from edgekit.validate.gate import Gate

FILE = "recipe.toml"
NOT_IN_RECIPES = ("device",)  # a matter of the machine
USUAL_MAX_DROP = 2.0  # points; a limit of 1 cannot be decided by fewer than 400 photos, however well they agree


@dataclass(frozen=True)
class Convert:
    """[convert]: the schemes to make for each format, and how many images calibrate int8."""

    tflite: tuple[str, ...] = ()
    onnx: tuple[str, ...] = ()
    samples: int = 200


@dataclass(frozen=True)
class GateLimits:
    """[gate]: see `edgekit.validate.gate.Gate`."""

    max_drop: float = 1.0
    min_agreement: float | None = None


@dataclass(frozen=True)
class Recipe:
    """A recipe. `folder` is where it lies, and `data` an absolute path or one that holds from here; None: to be given.

    The model is trained as `train` says, or it is the ImageNet network `pretrained` itself.
    """

    name: str
    folder: Path
    data: Path | None = None
    train: Settings = field(default_factory=Settings)
    pretrained: str | None = None
    convert: Convert = field(default_factory=Convert)
    gate: GateLimits = field(default_factory=GateLimits)


def usual_recipe(data: Path) -> Recipe:
    """What is built from photos alone: a classifier, converted to float32 and int8 `.tflite`, and compared."""
    name = re.sub(r"[^\w.-]+", "-", data.absolute().stem).strip("-.") or "model"
    convert, gate = Convert(("none", "int8")), GateLimits(USUAL_MAX_DROP)
    return Recipe(name, data.absolute().parent, data, convert=convert, gate=gate)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe: the file, or the folder that it lies in.

    Raises:
        EdgekitError: there is none, or it is not valid; the message names the entry.
    """
    file = path / FILE if path.is_dir() else path
    shown = printable(str(file))
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise EdgekitError(
            f"There is no recipe at {shown}: {error.strerror}.",
            f"Name a folder with a {FILE}, such as models/digits; or give only --data and -o.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EdgekitError(f"{shown} is not valid TOML: {error}.") from error
    sections: dict[str, Any] = {"train": Settings, "convert": Convert, "gate": GateLimits}
    values: dict[str, Any] = {"folder": file.parent}
    for key, value in document.items():
        if key in sections:
            values[key] = _section(sections[key], value, key, shown)
        elif key in ("name", "pretrained") and isinstance(value, str):
            values[key] = value
        elif key == "data" and isinstance(value, str):
            values[key] = file.parent / value
        else:
            raise EdgekitError(f"{shown}: {printable(key)[:40]!r} is not an entry of a recipe, or of the wrong type.")
    if "name" not in values:
        raise EdgekitError(f"{shown} lacks 'name'.")
    recipe = Recipe(**values)
    _check(recipe, document, shown)
    return recipe


def _section(kind: Any, table: Any, name: str, shown: str) -> Any:
    if not isinstance(table, dict):
        raise EdgekitError(f"{shown}: [{name}] is not a table.")
    known = typing.get_type_hints(kind)
    values = {}
    for key, value in table.items():
        if key not in known or key in NOT_IN_RECIPES or not _fits(value, known[key]):
            raise EdgekitError(f"{shown}: {printable(key)[:40]!r} in [{name}] is not known, or of the wrong type.")
        values[key] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**values)
    except EdgekitError as error:
        error.message = f"{shown}: [{name}]: {error.message}"
        raise


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value of TOML is of the kind of one of the fields above."""
    if kind == tuple[str, ...]:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    kinds = typing.get_args(kind) or (kind,)
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) or (float in kinds and isinstance(value, int))


def _check(recipe: Recipe, document: dict[str, Any], shown: str) -> None:
    convert = recipe.convert
    checks = [
        (re.fullmatch(r"\w[\w.-]*", recipe.name), "'name' names files: letters, digits, '.', '-' and '_'"),
        (not (recipe.pretrained and "train" in document), "'pretrained' takes a network as it is: leave out [train]"),
        (recipe.pretrained in (None, LITE), f"'pretrained' can be: {LITE}"),
        (convert.samples >= 2, "'samples' in [convert] must be 2 or more"),
    ]
    for target in ("tflite", "onnx"):
        schemes = SCHEMES[target]
        checks.append((set(getattr(convert, target)) <= set(schemes), f"'{target}' can be: {', '.join(schemes)}"))
    for right, complaint in checks:
        if not right:
            raise EdgekitError(f"{shown}: {complaint}.")
    Gate(recipe.gate.max_drop, recipe.gate.min_agreement)
