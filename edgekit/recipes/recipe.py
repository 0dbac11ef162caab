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
from edgekit.validate.gate import Gate

FILE = "recipe.toml"


@dataclass(frozen=True)
class Train:
    """[train]: see `edgekit.train.fit.train`."""

    input_size: int | None = None
    epochs: int = 60
    batch_size: int = 32
    seed: int = 0


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
    """A recipe. `data` is relative to the recipe's folder."""

    name: str
    data: str
    folder: Path
    train: Train = field(default_factory=Train)
    convert: Convert = field(default_factory=Convert)
    gate: GateLimits = field(default_factory=GateLimits)


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
            f"There is no recipe at {shown}: {error.strerror}.", f"Name a folder with a {FILE}, such as models/digits."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EdgekitError(f"{shown} is not valid TOML: {error}.") from error
    sections: dict[str, Any] = {"train": Train, "convert": Convert, "gate": GateLimits}
    values: dict[str, Any] = {"folder": file.parent}
    for key, value in document.items():
        if key in sections:
            values[key] = _section(sections[key], value, key, shown)
        elif key in ("name", "data") and isinstance(value, str):
            values[key] = value
        else:
            raise EdgekitError(f"{shown}: {printable(key)[:40]!r} is not an entry of a recipe, or of the wrong type.")
    for key in ("name", "data"):
        if key not in values:
            raise EdgekitError(f"{shown} lacks {key!r}.")
    recipe = Recipe(**values)
    _check(recipe, shown)
    return recipe


def _section(kind: Any, table: Any, name: str, shown: str) -> Any:
    if not isinstance(table, dict):
        raise EdgekitError(f"{shown}: [{name}] is not a table.")
    known = typing.get_type_hints(kind)
    values = {}
    for key, value in table.items():
        if key not in known or not _fits(value, known[key]):
            raise EdgekitError(f"{shown}: {printable(key)[:40]!r} in [{name}] is not known, or of the wrong type.")
        values[key] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value of TOML is of the kind of one of the fields above."""
    if kind == tuple[str, ...]:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    numbers = (int, float) if float in (kind, *typing.get_args(kind)) else int
    return isinstance(value, numbers) and not isinstance(value, bool)


def _check(recipe: Recipe, shown: str) -> None:
    train, convert = recipe.train, recipe.convert
    checks = [
        (re.fullmatch(r"\w[\w.-]*", recipe.name), "'name' names files: letters, digits, '.', '-' and '_'"),
        (train.epochs >= 1, "'epochs' in [train] must be 1 or more"),
        (train.batch_size >= 1, "'batch_size' in [train] must be 1 or more"),
        (0 <= train.seed < 2**31, "'seed' in [train] must be 0 or more, and less than 2^31"),
        (convert.samples >= 2, "'samples' in [convert] must be 2 or more"),
    ]
    for target in ("tflite", "onnx"):
        schemes = SCHEMES[target]
        checks.append((set(getattr(convert, target)) <= set(schemes), f"'{target}' can be: {', '.join(schemes)}"))
    for right, complaint in checks:
        if not right:
            raise EdgekitError(f"{shown}: {complaint}.")
    Gate(recipe.gate.max_drop, recipe.gate.min_agreement)
