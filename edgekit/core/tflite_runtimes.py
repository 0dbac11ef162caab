"""What the TensorFlow Lite runtimes of devices can run: older than the LiteRT here, they know fewer operators.

The facts are in `tflite_runtimes.json`, with where they come from.
"""

from __future__ import annotations

import functools
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.errors import ModelFileError
from edgekit.runtime import modelfile
from edgekit.runtime.modelfile import FlatBuffer
from edgekit.runtime.spec import printable

MAX_OPERATORS = 10_000
_CUSTOM = 32

# Fields of the tables Model and OperatorCode in TFLite's schema.fbs.
_MODEL_CODES = 1
_OLD_CODE, _CUSTOM_CODE, _VERSION, _CODE = range(4)


@dataclass(frozen=True)
class Operator:
    """A kind of operator that a model uses; `custom` ones are no part of TensorFlow Lite."""

    name: str
    version: int
    custom: bool = False


def is_known(runtime: str) -> bool:
    """Whether the facts about this version of TensorFlow Lite are here."""
    return runtime in _facts()["wrong_schemes"]


def highest(operator: Operator, runtime: str) -> int:
    """The highest version of this operator that a runtime knows; 0 when it does not have the operator."""
    if operator.custom:
        return 0
    return int(_facts()["operators"].get(operator.name, {}).get(runtime, 0))


def wrong_schemes(runtime: str) -> dict[str, str]:
    """The schemes whose files a runtime loads and answers wrongly, each with the reason."""
    return dict(_facts()["wrong_schemes"].get(runtime, {}))


def operators(path: Path) -> tuple[Operator, ...]:
    """The kinds of operators that a `.tflite` file names, in its order.

    Raises:
        ModelFileError: the file is damaged.
    """
    names = {facts["code"]: name for name, facts in _facts()["operators"].items()}
    with modelfile.naming(path), modelfile.mapped(path) as data:
        flat = FlatBuffer(data)
        try:
            codes = flat.tables(flat.root(), _MODEL_CODES)
            if len(codes) > MAX_OPERATORS:
                raise ModelFileError(f"It names {len(codes)} operators; no model does.")
            return tuple(_operator(flat, code, names) for code in codes)
        except (struct.error, IndexError, ValueError, OverflowError) as error:
            raise ModelFileError("Its table of operators is damaged.") from error


def _operator(flat: FlatBuffer, table: int, names: dict[int, str]) -> Operator:
    # Old converters fill only the first of the two; later ones cap it at 127.
    code = max(flat.scalar(table, _OLD_CODE, "<b"), flat.scalar(table, _CODE, "<i"))
    version = flat.scalar(table, _VERSION, "<i") or 1
    if code == _CUSTOM:
        return Operator(printable(flat.text(table, _CUSTOM_CODE)[:100]), version, custom=True)
    return Operator(names.get(code, f"OPERATOR_{code}"), version)


@functools.cache
def _facts() -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return facts
