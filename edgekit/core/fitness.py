"""What a `.tflite` file finds on devices: whether their runtimes run it, rightly, and what delegates take of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.core import delegates, tflite_runtimes
from edgekit.core.anatomy import Graph, GraphOperator, GraphTensor, read_graphs
from edgekit.core.delegates import Placement
from edgekit.core.errors import ModelFileError
from edgekit.runtime import modelfile
from edgekit.runtime.spec import printable

# The runtime of each target. A 64-bit Raspberry Pi has LiteRT, too, which runs all that LiteRT runs here; this is the
# one that all of them have.
TARGETS = {"android": "2.16.1", "raspberry-pi": "2.14.0"}
_NAMES = {
    "android": "the Android app's TensorFlow Lite {}",
    "raspberry-pi": "tflite-runtime {} on a 32-bit Raspberry Pi",
}

_OTHERS = {"onnx": "an ONNX file", "keras": "a .keras file", "h5": "a Keras .h5 file", "savedmodel": "a SavedModel"}

# A setting of `edgekit convert --quantize` with operators in older versions; the others have those of the network.
_OLDER = {"weight4": "weight8", "dynamic4": "dynamic", "int8": "float16", "int16x8": "float16"}


@dataclass(frozen=True)
class Fitness:
    """What a file finds on devices.

    Attributes:
        operators: of the main graph, in the order of execution.
        kinds: how each of them computes, as in "float32, weights int8 per channel".
        placements: what each delegate takes of them.
        runtime: the oldest version of TensorFlow Lite that has every operator in its version: "2.14.0"; in words
            where it is a newer one than the tables know, or none.
        problems: why a target cannot run the file, or answers wrongly, by the targets that do.
    """

    operators: tuple[GraphOperator, ...]
    kinds: tuple[str, ...]
    placements: tuple[Placement, ...]
    runtime: str
    problems: dict[str, str]


def fitness(path: Path) -> Fitness:
    """Look at a `.tflite` file; nothing of it is run.

    Raises:
        ModelFileError: it is another file, or damaged.
    """
    kind = modelfile.sniff(path)
    if kind != "tflite":
        what = _OTHERS.get(kind, "no .tflite file")
        hint = "Name the .tflite file that devices are to run."
        if kind == "onnx":
            hint = "Convert its Keras source first: edgekit convert SOURCE.keras -o MODEL.tflite"
        elif kind in _OTHERS:
            hint = f"Convert it first: edgekit convert {printable(str(path))} -o MODEL.tflite"
        raise ModelFileError(f"{printable(str(path))} is {what}; delegates run .tflite files only.", hint)
    graph, *_ = read_graphs(path)
    problems = {target: runs_on(path, target) for target in TARGETS}
    return Fitness(
        graph.operators,
        tuple(_kind(operator, graph) for operator in graph.operators),
        delegates.placements(graph),
        least_runtime(path),
        {target: problem for target, problem in problems.items() if problem},
    )


def least_runtime(path: Path) -> str:
    """The oldest version of TensorFlow Lite that has every operator of a file in its version (see `Fitness.runtime`).

    Raises:
        ModelFileError: the file is damaged.
    """
    versions = tflite_runtimes.known()
    if (found := next((version for version in versions if tflite_runtimes.too_new(path, version) is None), "")):
        return found
    custom = next((operator.name for operator in tflite_runtimes.operators(path) if operator.custom), None)
    return f"newer than {versions[-1]}" if custom is None else f"none: it has the custom operator {custom!r}"


def _kind(operator: GraphOperator, graph: Graph) -> str:
    """How an operator computes: the dtype of its data, and of weights that have another or several scales."""
    inputs = [graph.tensors[index] for index in operator.inputs if index >= 0]
    free = [tensor for tensor in inputs if not tensor.constant] or inputs
    outputs = [graph.tensors[index] for index in operator.outputs]
    if not free or not outputs:
        return ""
    data, result = free[0].dtype, outputs[0].dtype
    weights = next((one for one in inputs if one.constant and one.scales and len(one.shape) > 1), None)
    found = data if data == result else f"{data} to {result}"
    if weights is None or (weights.dtype == data and not weights.per_channel):
        return found
    return f"{found}, weights {weights.dtype}{_granularity(weights)}"


def _granularity(weights: GraphTensor) -> str:
    return " in blocks" if weights.blockwise else " per channel" if weights.per_channel else ""


def runs_on(path: Path, target: str) -> str:
    """Why a target cannot run a `.tflite` file, or answers wrongly, in a sentence without its stop; empty: it runs.

    Args:
        path: the file.
        target: `android` or `raspberry-pi`.

    Raises:
        ModelFileError: the file is damaged.
    """
    reason, _ = _unfit(path, target)
    return reason and f"{_named(target)} {reason}"


def advice(path: Path, scheme: str) -> str:
    """A line for who has just made a file that not every target runs: which, why, and the setting that avoids it.

    Args:
        path: the file; one that is no `.tflite` gets no advice.
        scheme: which it was made with.
    """
    if modelfile.sniff(path) != "tflite":
        return ""
    found = {target: _unfit(path, target) for target in TARGETS}
    concerned = [target for target, (reason, setting) in found.items() if reason and setting is not None]
    if not concerned:
        return ""
    first, *others = concerned
    reason, setting = found[first]
    also = [_named(target) for target in others if found[target][0]]
    like = f", like {' and '.join(also)}," if also else ""
    named = _named(first)
    avoid = setting or _OLDER.get(scheme)
    end = f"--quantize {avoid} avoids it" if avoid else "no --quantize avoids it: it is in the network itself"
    return f"{named[0].upper()}{named[1:]}{like} {reason}; {end}."


def _unfit(path: Path, target: str) -> tuple[str, str | None]:
    """The reason, empty where the target runs the file, and the setting that avoids it: None where none is worth it."""
    runtime = TARGETS[target]
    if (newer := tflite_runtimes.too_new(path, runtime)) is not None:
        found, known = newer
        return f"cannot run {found}: it {known}", ""
    unfit = tflite_runtimes.unfit(path, runtime)
    if unfit is None:
        return "", None
    return f"{unfit.does} {unfit.what}", unfit.setting or None


def _named(target: str) -> str:
    return _NAMES[target].format(TARGETS[target])
