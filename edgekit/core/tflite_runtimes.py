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

from edgekit.core.anatomy import Graph, GraphOperator, read_graphs
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


def known() -> tuple[str, ...]:
    """The versions of TensorFlow Lite whose facts are here, the oldest first."""
    return tuple(_facts()["unfit"])


def is_known(runtime: str) -> bool:
    """Whether the facts about this version of TensorFlow Lite are here."""
    return runtime in known()


def highest(operator: Operator, runtime: str) -> int:
    """The highest version of this operator that a runtime knows; 0 when it does not have the operator."""
    if operator.custom:
        return 0
    return int(_facts()["operators"].get(operator.name, {}).get(runtime, 0))


def too_new(path: Path, runtime: str) -> tuple[str, str] | None:
    """The first operator of a `.tflite` file that a version of TensorFlow Lite cannot run; None: it runs all.

    Returns:
        What was found, and what the runtime knows: "FULLY_CONNECTED in version 12", "knows it up to version 9".

    Raises:
        ModelFileError: the file is damaged.
    """
    for operator in operators(path):
        known_version = highest(operator, runtime)
        if operator.version <= known_version:
            continue
        if operator.custom:
            return f"the custom operator {operator.name!r}", "has only its own"
        if known_version:
            return f"{operator.name} in version {operator.version}", f"knows it up to version {known_version}"
        return operator.name, "does not have it"
    return None


@dataclass(frozen=True)
class Unfit:
    """What a runtime does, on what, and the setting of `edgekit convert --quantize` that avoids it, if one is named.

    `does` and `what` make a sentence with the runtime before them: "refuses", "weights of 4 bits that …".
    """

    does: str
    what: str
    setting: str = ""


def unfit(path: Path, runtime: str) -> Unfit | None:
    """The first operator that a runtime knows in its version and yet does not run rightly; None: nothing is known.

    Raises:
        ModelFileError: the file is damaged.
    """
    facts = _facts()["unfit"].get(runtime, ())
    for graph in read_graphs(path) if facts else ():
        for operator in graph.operators:
            for fact in facts:
                if operator.name == fact["operator"] and _is_unfit(operator, graph, fact):
                    return Unfit(fact["does"], fact["what"], fact.get("setting", ""))
    return None


def _is_unfit(operator: GraphOperator, graph: Graph, fact: dict[str, Any]) -> bool:
    inputs = [graph.tensors[index] for index in operator.inputs if index >= 0]
    wanted = {int(position): dtypes for position, dtypes in fact["inputs"].items()}
    if len(inputs) <= max(wanted) or any(inputs[index].dtype not in dtypes for index, dtypes in wanted.items()):
        return False
    if "scales" in fact:
        several: bool = fact["scales"] == "several"
        return (inputs[1].per_channel or inputs[1].blockwise) == several
    return "outputs" not in fact or graph.tensors[operator.outputs[0]].shape[-1] in fact["outputs"]


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
